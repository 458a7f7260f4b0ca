#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/macros.h"
#include "kernels/storage.h"

// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) and Box–Muller normals:
// key = seed, counter = (block, stream), 64 bits each, low word first; block j gives elements 4j … 4j+3;
// u = (word + ½)·2⁻³²; word pairs (0, 1) and (2, 3) give (r cos 2πu_b, r sin 2πu_b), r = √(−2 ln u_a).
namespace eam::kernels {

struct PhiloxBlock {
  uint32_t word[4];
};

EAM_HD PhiloxBlock philox4x32_10(PhiloxBlock counter, uint32_t key_low, uint32_t key_high) {
  uint32_t c0 = counter.word[0], c1 = counter.word[1], c2 = counter.word[2], c3 = counter.word[3];
  EAM_UNROLL
  for (int round = 0; round < 10; ++round) {
    uint64_t product0 = static_cast<uint64_t>(0xD2511F53u) * c0;
    uint64_t product1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
    uint32_t next0 = static_cast<uint32_t>(product1 >> 32) ^ c1 ^ key_low;
    uint32_t next2 = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ key_high;
    c1 = static_cast<uint32_t>(product1);
    c3 = static_cast<uint32_t>(product0);
    c0 = next0;
    c2 = next2;
    key_low += 0x9E3779B9u;
    key_high += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

EAM_HD PhiloxBlock philox_block(uint64_t seed, uint64_t stream, uint64_t block) {
  return philox4x32_10({{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                         static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)}},
                       static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
}

// In (0, 1), exact.
EAM_HD double uniform_of(uint32_t word) {
  return (static_cast<double>(word) + 0.5) * 0x1p-32;
}

// −ln u to float rounding over all 2³² words. (A float u would be 1 for the last 128 words and coarse before them;
// above ½ the logarithm is taken of 1 − (1−u), whose 1−u is as exact as u is below ½.)
EAM_HD float minus_log_uniform(uint32_t word) {
  bool upper = (word >> 31) != 0;
  uint32_t folded = upper ? ~word : word;
  float y = static_cast<float>(static_cast<int32_t>(folded)) + 0.5f;  // 2³² u or 2³² (1−u)

  // u = m 2^(e−32), m in [√½, √2)
  uint32_t shifted = bits_of(y) + (0x3f800000u - 0x3f3504f3u);
  float lower_k = static_cast<float>(159 - static_cast<int32_t>(shifted >> 23));  // 32 − e
  float lower_f = float_of((shifted & 0x007fffffu) + 0x3f3504f3u) - 1.0f;

  float v = y * 0x1p-32f;
  bool near_one = v <= 0.29289322f;
  float upper_k = near_one ? 0.0f : 1.0f;
  float upper_f = near_one ? -v : 1.0f - 2.0f * v;

  float k = upper ? upper_k : lower_k;
  float f = upper ? upper_f : lower_f;

  // log(1+f) = f − f²/2 + f³ P(f): the polynomial of Cephes' logf.
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  float square = f * f;
  float tail = p * f * square - 0.5f * square + 2.12194440e-4f * k;
  return 0.693359375f * k - (f + tail);  // ln 2 = 0.693359375 − 2.12194440e−4
}

// cos 2πu and sin 2πu. The quadrant comes from the word's top bits, so nothing is lost in reducing the angle.
EAM_HD void cos_sin_turn(uint32_t word, float* cosine, float* sine) {
  uint32_t quadrant = (word + 0x20000000u) >> 30;
  int32_t rest = static_cast<int32_t>(word - (quadrant << 30));
  float a = (static_cast<float>(rest) + 0.5f) * 1.46291807926715968e-9f;  // 2π 2⁻³², |a| ≤ π/4
  float z = a * a;
  // Cephes' sinf and cosf.
  float s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * a + a;
  float c = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z - 0.5f * z + 1.0f;
  bool odd = (quadrant & 1u) != 0;
  float x = odd ? s : c;
  float y = odd ? c : s;
  *cosine = float_of(bits_of(x) ^ (((quadrant + 1u) & 2u) << 30));
  *sine = float_of(bits_of(y) ^ ((quadrant & 2u) << 30));
}

// −ln u to double rounding (fdlibm's log). Integers become doubles through the bits of 2⁵² + n, which vectorises where
// there is no instruction for it.
EAM_HD double minus_log_uniform_double(uint32_t word) {
  const uint64_t two_52 = 0x4330000000000000u, root_half = 0x3fe6a09e667f3bcdu;
  double y = double_of(two_52 | word) - 0x1p52 + 0.5;  // 2³² u, exact
  // u = m 2^(−k), m in [√½, √2)
  uint64_t shifted = bits_of(y) + (0x3ff0000000000000u - root_half);
  double k = (0x1p52 + 1055) - double_of(two_52 | (shifted >> 52));
  double f = double_of((shifted & 0x000fffffffffffffu) + root_half) - 1.0;
  double s = f / (2.0 + f);
  double z = s * s;
  double p = 1.479819860511658591e-01;
  p = p * z + 1.531383769920937332e-01;
  p = p * z + 1.818357216161805012e-01;
  p = p * z + 2.222219843214978396e-01;
  p = p * z + 2.857142874366239149e-01;
  p = p * z + 3.999999999940941908e-01;
  p = p * z + 6.666666666666735130e-01;
  double half_square = 0.5 * f * f;
  double tail = half_square - (s * (half_square + p * z) - k * 1.90821492927058770002e-10);
  return k * 6.93147180369123816490e-01 + (tail - f);  // the two constants: ln 2
}

// cos and sin of 2πu as for float, with fdlibm's polynomials.
EAM_HD void cos_sin_turn(uint32_t word, double* cosine, double* sine) {
  uint32_t quadrant = (word + 0x20000000u) >> 30;
  int32_t rest = static_cast<int32_t>(word - (quadrant << 30));
  double a = (static_cast<double>(rest) + 0.5) * 1.4629180792671596e-9;  // 2π 2⁻³², |a| ≤ π/4
  double z = a * a;
  double s = 1.58969099521155010221e-10;
  s = s * z - 2.50507602534068634195e-08;
  s = s * z + 2.75573137070700676789e-06;
  s = s * z - 1.98412698298579493134e-04;
  s = s * z + 8.33333333332248946124e-03;
  s = s * z - 1.66666666666666324348e-01;
  s = s * z * a + a;
  double p = -1.13596475577881948265e-11;
  p = p * z + 2.08757232129817482790e-09;
  p = p * z - 2.75573143513906633035e-07;
  p = p * z + 2.48015872894767294178e-05;
  p = p * z - 1.38888888888741095749e-03;
  p = p * z + 4.16666666666666019037e-02;
  double half_square = 0.5 * z, rounded = 1.0 - half_square;
  double c = rounded + (((1.0 - rounded) - half_square) + z * z * p);
  uint64_t turn = quadrant;
  bool odd = (turn & 1u) != 0;
  double x = odd ? s : c;
  double y = odd ? c : s;
  *cosine = double_of(bits_of(x) ^ (((turn + 1u) & 2u) << 62));
  *sine = double_of(bits_of(y) ^ ((turn & 2u) << 62));
}

EAM_HD void box_muller(uint32_t word_a, uint32_t word_b, float* first, float* second) {
  float cosine, sine;
  cos_sin_turn(word_b, &cosine, &sine);
  float r = sqrtf(2.0f * minus_log_uniform(word_a));
  *first = r * cosine;
  *second = r * sine;
}

EAM_HD void box_muller(uint32_t word_a, uint32_t word_b, double* first, double* second) {
  double cosine, sine;
  cos_sin_turn(word_b, &cosine, &sine);
  double r = sqrt(2.0 * minus_log_uniform_double(word_a));
  *first = r * cosine;
  *second = r * sine;
}

// Elements 4 block … 4 block + 3 of a stream.
template <class Real>
EAM_HD void philox_normals(uint64_t seed, uint64_t stream, uint64_t block, Real* out) {
  PhiloxBlock words = philox_block(seed, stream, block);
  box_muller(words.word[0], words.word[1], out, out + 1);
  box_muller(words.word[2], words.word[3], out + 2, out + 3);
}

}  // namespace eam::kernels
