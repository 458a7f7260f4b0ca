// The solvers' state machine, driven by lib/ode-solver.ts with velocities written in JavaScript.
#include "algorithms/ode_solver.h"

#include "addon/addon.h"
#include "addon/convert.h"
#include "addon/instance.h"

namespace eam::addon {
namespace {

class OdeSolverObject : public Napi::ObjectWrap<OdeSolverObject> {
 public:
  // new OdeSolver(solver, times)
  explicit OdeSolverObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<OdeSolverObject>(info) {
    guarded(info.Env(), [&] {
      SolverKind kind = solver_kind(to_string(info[0], "OdeSolver: `solver`"));
      solver_ = std::make_shared<OdeSolver>(kind, to_numbers(info[1], "OdeSolver: `times`"));
    });
  }

  // start(x0): where and when the first velocity is wanted.
  Napi::Value start(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    return guarded_promise(env, [&] {
      return instance(env).executor.submit(env,
          [solver = solver_, x0 = to_tensor(info[0], "OdeSolver: `x0`")] {
            solver->start(keepable(x0));
            return state(*solver);
          },
          from_state);
    });
  }

  // advance(velocity, unconditional, guidance): the next such point, or the end.
  Napi::Value advance(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    return guarded_promise(env, [&] {
      std::optional<at::Tensor> unconditional;
      if (!info[1].IsUndefined()) unconditional = to_tensor(info[1], "OdeSolver: what `unconditional` returned");
      return instance(env).executor.submit(env,
          [solver = solver_, velocity = to_tensor(info[0], "OdeSolver: what `velocity` returned"), unconditional,
           guidance = to_number(info[2], "OdeSolver: `guidance`")] {
            solver->advance(keepable(velocity), unconditional, guidance);
            return state(*solver);
          },
          from_state);
    });
  }

 private:
  struct State {
    bool done;
    double t;
    at::Tensor x;
  };

  // The solver keeps a step's start and its first velocity while JavaScript may fill the same array anew.
  static at::Tensor keepable(const at::Tensor& tensor) { return borrows_memory(tensor) ? tensor.clone() : tensor; }

  static State state(const OdeSolver& solver) {
    bool done = solver.done();
    return {done, solver.t(), solver.x()};
  }

  static Napi::Value from_state(Napi::Env env, State state) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("done", state.done);
    object.Set("t", state.t);
    object.Set("x", wrap_tensor(env, std::move(state.x)));
    return object;
  }

  std::shared_ptr<OdeSolver> solver_;  // jobs keep it too; only the executor's thread advances it
};

}  // namespace

void define_ode_solver(Napi::Env env, Napi::Object exports) {
  exports.Set("OdeSolver", OdeSolverObject::DefineClass(env, "OdeSolver", {
      OdeSolverObject::InstanceMethod("start", &OdeSolverObject::start),
      OdeSolverObject::InstanceMethod("advance", &OdeSolverObject::advance),
  }));
}

}  // namespace eam::addon
