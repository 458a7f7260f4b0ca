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

EAM_HD void box_muller(uint32_t word_a, uint32_t word_b, float* first, float* second) {
  float cosine, sine;
  cos_sin_turn(word_b, &cosine, &sine);
  float r = sqrtf(2.0f * minus_log_uniform(word_a));
  *first = r * cosine;
  *second = r * sine;
}

EAM_HD void box_muller(uint32_t word_a, uint32_t word_b, double* first, double* second) {
  double r = sqrt(-2.0 * log(uniform_of(word_a)));
  double angle = 6.283185307179586476925 * uniform_of(word_b);
  *first = r * cos(angle);
  *second = r * sin(angle);
}

// Elements 4 block … 4 block + 3 of a stream.
template <class Real>
EAM_HD void philox_normals(uint64_t seed, uint64_t stream, uint64_t block, Real* out) {
  PhiloxBlock words = philox_block(seed, stream, block);
  box_muller(words.word[0], words.word[1], out, out + 1);
  box_muller(words.word[2], words.word[3], out + 2, out + 3);
}

}  // namespace eam::kernels
