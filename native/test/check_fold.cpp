// Checks what layers of adapters folded into weights hold and compute, without Node: the sum, how half types round it,
// and how near to the truth a folded and an unfolded layer are. Exits with 1 on a mismatch.
#include <ATen/Context.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "nn/layers/fold.h"
#include "test/check.h"

namespace {

using namespace eam;
using check::error_of;
using check::report;

constexpr int64_t kOut = 512, kIn = 512, kRank = 16, kRows = 256;

double size(const at::Tensor& x) {
  return x.to(at::kDouble).norm().item<double>();
}

// How much of the change that an adapter makes arrives: 1 for all of it, 0 for none.
double arrived(const at::Tensor& change, const at::Tensor& wanted) {
  const at::Tensor a = change.to(at::kDouble).flatten(), b = wanted.to(at::kDouble).flatten();
  return (a * b).sum().item<double>() / (b * b).sum().item<double>();
}

struct Layer {
  at::Tensor weight = at::randn({kOut, kIn}) * 0.03, A = at::randn({kRank, kIn}) / 22.6;
  at::Tensor B = at::randn({kOut, kRank});
};

void check_sums() {
  const Layer layer;
  for (const auto type : {at::kDouble, at::kFloat}) {
    const at::Tensor weight = layer.weight.to(type);
    const at::Tensor expected =
        at::addmm(weight.to(at::kDouble), layer.B.to(at::kDouble), layer.A.to(at::kDouble), 1, 0.5);
    report(std::string("the sum, ") + c10::toString(type),
           error_of(nn::folded(weight, layer.A, layer.B, 0.5), expected), type == at::kDouble ? 1e-15 : 1e-6);
  }
}

void check_half(at::ScalarType type, int bits) {
  const Layer layer;
  const at::Tensor weight = layer.weight.to(type);
  const std::string name = std::string(", ") + c10::toString(type);
  const auto fold = [&](const at::Tensor& B) { return nn::folded(weight, layer.A, B, 1); };

  report("the weights themselves, of no update" + name, !at::equal(fold(at::zeros({kOut, kRank})), weight), 0);
  const at::Tensor zero = at::zeros({kOut, kIn}).to(type);
  report("no update of zeros" + name, !at::equal(nn::folded(zero, layer.A, at::zeros({kOut, kRank}), 1), zero), 0);
  report("the same each time" + name, !at::equal(fold(layer.B), fold(layer.B)), 0);

  // From a thousandth of a weight's last bit to a hundred times it.
  for (const double part : {1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0}) {
    const double update = part * 0.03 * std::ldexp(1.0, -bits);  // of a number of B A, which are 4 / 22.6 at first
    const at::Tensor B = layer.B * (update / 4 * 22.6);
    const at::Tensor wanted = at::addmm(weight.to(at::kDouble), B.to(at::kDouble), layer.A.to(at::kDouble));
    const at::Tensor change = wanted - weight.to(at::kDouble);
    const at::Tensor x = at::randn({kRows, kIn}).to(type);
    const auto apply = [&](const at::Tensor& w) { return at::matmul(x.to(at::kDouble), w.to(at::kDouble).t()); };
    const at::Tensor truth = apply(change);
    const auto result = [&](const at::Tensor& w) { return apply(w) - apply(weight); };
    const at::Tensor chance = fold(B), nearest = wanted.to(at::kFloat).to(type);
    // Each in the type, as layers compute: folded, and unfolded.
    at::Tensor unfolded = at::matmul(x, weight.t());
    unfolded.addmm_(at::matmul(x, layer.A.to(type).t()), B.to(type).t());
    const at::Tensor all = apply(wanted);
    const auto error = [&](const at::Tensor& found) { return size(found - all) / size(all); };
    const double here = arrived(result(chance), truth), by_chance = error(at::matmul(x, chance.t()));
    std::printf(
        "  update of %g last bits%s: arrives %.3f by chance, %.3f to the nearest; error %.2e, %.2e, unfolded %.2e\n",
        part, name.c_str(), here, arrived(result(nearest), truth), by_chance, error(at::matmul(x, nearest.t())),
        error(unfolded));
    // A share `part` of the weights is rounded to another number, by chance: five standard deviations.
    report("all of an update of " + number_text(part) + " last bits" + name, std::abs(here - 1),
           5 / std::sqrt(std::min(part, 1.0) * kOut * kIn));
    report("an error as unfolded, of the type's rounding" + name, by_chance, 1.5 * error(unfolded));
  }
}

}  // namespace

int main() {
  at::manual_seed(1);
  return check::run_checks([] {
    check_sums();
    check_half(at::kBFloat16, 8);
    check_half(at::kHalf, 11);
  });
}
