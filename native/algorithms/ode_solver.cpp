#include "algorithms/ode_solver.h"

#include <cmath>
#include <string>
#include <utility>

#include "algorithms/batch.h"
#include "ops/error.h"

namespace eam {

namespace {

std::vector<ops::Term> scaled(std::vector<ops::Term> terms, double factor) {
  for (ops::Term& term : terms) term.coefficients[0] *= factor;
  return terms;
}

// x + Σ terms
at::Tensor sum(const at::Tensor& x, double coefficient, std::initializer_list<std::vector<ops::Term>> groups) {
  std::vector<ops::Term> terms = {{x, {coefficient}}};
  for (const auto& group : groups) terms.insert(terms.end(), group.begin(), group.end());
  return ops::affine(terms);
}

}  // namespace

std::vector<double> shifted_times(int steps, double last, double shift) {
  if (steps < 1) throw bad_value("steps", "at least 1", steps);
  std::vector<double> times(steps + 1);
  const double end = (1 - last) / (shift - (shift - 1) * (1 - last));  // u at the last time
  for (int i = 0; i <= steps; ++i) {
    const double u = 1 - (1 - end) * i / steps;
    times[i] = shift == 1 ? last * i / steps : 1 - shift * u / (1 + (shift - 1) * u);
  }
  times.front() = 0;
  times.back() = last;
  return times;
}

OdeSolver::OdeSolver(SolverKind kind, std::vector<double> times)
    : kind_(kind), times_(std::move(times)), index_(times_.size()) {
  bool increasing = times_.size() >= 2 && times_.front() >= 0 && times_.back() <= 1;
  for (size_t i = 1; increasing && i < times_.size(); ++i) increasing = times_[i] > times_[i - 1];
  if (increasing) return;
  std::string list;
  for (const double time : times_) list += words(list.empty() ? "" : ", ", time);
  throw bad_value("times", "at least two times, strictly increasing, in [0, 1]", "[" + list + "]");
}

void OdeSolver::start(at::Tensor x0) {
  x_ = std::move(x0);
  step_start_.reset();
  first_.clear();
  data_.reset();
  index_ = 0;
}

bool OdeSolver::done() const {
  return index_ + 1 >= times_.size();
}

const at::Tensor& OdeSolver::x() const {
  if (!x_.defined()) throw Error(ErrorKind::config, "the solver has no state yet: call start(x0) first");
  return x_;
}

double OdeSolver::t() const {
  if (index_ >= times_.size()) throw Error(ErrorKind::config, "the solver has no state yet: call start(x0) first");
  if (!step_start_.defined()) return times_[index_];
  return kind_ == SolverKind::midpoint ? times_[index_] + (times_[index_ + 1] - times_[index_]) / 2
                                       : times_[index_ + 1];
}

bool OdeSolver::has_second_stage() const {
  const SolverCost cost = cost_of(kind_);
  return cost.per_step - (times_[index_ + 1] < 1 ? 0 : cost.fewer_at_data) == 2;
}

void OdeSolver::finish_step(at::Tensor x) {
  x_ = std::move(x);
  step_start_.reset();
  first_.clear();
  ++index_;
}

void OdeSolver::advance(const at::Tensor& velocity, const std::optional<at::Tensor>& unconditional, double guidance) {
  if (done()) {
    throw Error(ErrorKind::config, x_.defined() ? "the solver is done: call start(x0) to run it again"
                                                : "the solver has no state yet: call start(x0) first");
  }
  Terms v = {{velocity, {unconditional ? guidance : 1.0}}};
  if (unconditional) v.push_back({*unconditional, {1 - guidance}});

  const double t = times_[index_], next = times_[index_ + 1], h = next - t;
  if (step_start_.defined()) {
    finish_step(kind_ == SolverKind::heun ? sum(step_start_, 1, {scaled(std::move(first_), h / 2), scaled(v, h / 2)})
                                          : sum(step_start_, 1, {scaled(v, h)}));
  } else if (kind_ == SolverKind::dpmpp2m) {
    multistep(v, t, next);
  } else if (has_second_stage()) {
    step_start_ = x_;
    x_ = sum(x_, 1, {scaled(v, kind_ == SolverKind::midpoint ? h / 2 : h)});
    first_ = std::move(v);
  } else {
    finish_step(sum(x_, 1, {scaled(v, h)}));
  }
}

OdeSolver OdeSolver::with_rows(const std::vector<int64_t>& rows) const {
  if (step_start_.defined()) throw Error(ErrorKind::config, "the solver is in the middle of a step");
  OdeSolver part(kind_, times_);
  part.index_ = index_;
  part.x_ = select(x(), rows);
  if (data_.defined()) part.data_ = select(data_, rows);
  return part;
}

// x' = (1−t')/(1−t) x + (t' − t(1−t')/(1−t)) D, D = d + (d − d_prev)/(2r), r = (λ − λ_prev)/(λ' − λ), λ = log(t/(1−t))
void OdeSolver::multistep(const Terms& velocity, double t, double next) {
  at::Tensor data = sum(x_, 1, {scaled(velocity, 1 - t)});
  const double keep = (1 - next) / (1 - t), move = next - t * keep;
  const auto half_log_snr = [](double time) { return std::log(time / (1 - time)); };

  Terms terms = {{x_, {keep}}, {data, {move}}};
  if (data_.defined() && times_[index_ - 1] > 0 && next < 1) {
    const double half_inverse_r =
        (half_log_snr(next) - half_log_snr(t)) / (half_log_snr(t) - half_log_snr(times_[index_ - 1])) / 2;
    terms[1].coefficients[0] = move * (1 + half_inverse_r);
    terms.push_back({data_, {-move * half_inverse_r}});
  }
  at::Tensor x = ops::affine(terms);
  data_ = std::move(data);
  finish_step(std::move(x));
}

}  // namespace eam
