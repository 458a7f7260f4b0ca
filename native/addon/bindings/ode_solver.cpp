// The solvers' state machine, driven by lib/runtime/ode-solver.ts with velocities written in JavaScript.
#include "algorithms/ode_solver.h"

#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "addon/runtime/one_thread.h"

namespace eam::addon {
namespace {

class OdeSolverObject : public Napi::ObjectWrap<OdeSolverObject> {
 public:
  // new OdeSolver(solver, times)
  explicit OdeSolverObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<OdeSolverObject>(info) {
    guarded(info.Env(), [&] {
      const auto kind = to_choice<SolverKind>(info[0], "OdeSolver: solver");
      solver_ = std::make_shared<OdeSolver>(kind, to_numbers(info[1], "OdeSolver: times"));
    });
  }

  // start(x0): where and when the first velocity is wanted.
  Napi::Value start(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    return guarded_promise(env, [&] {
      return instance(env).executor.submit(
          env,
          [solver = solver_, x0 = to_tensor(info[0], "OdeSolver: x0")] {
            solver->start(x0.clone());
            return state(*solver);
          },
          from_state);
    });
  }

  // advance(velocity, unconditional, guidance): the next such point, or the end.
  Napi::Value advance(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    return guarded_promise(env, [&] {
      return instance(env).executor.submit(
          env, [solver = solver_, point = point_of(info, to_tensor)] { return advanced(*solver, point); }, from_state);
    });
  }

  // startSync(x0), advanceSync(velocity, unconditional, guidance): the same on this thread, for a solver on which
  // nothing else is called.
  Napi::Value start_sync(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    return guarded(env, [&] {
      at::Tensor x0 = to_readable(info[0], "OdeSolver: x0");
      OneThread one_thread;
      solver_->start(x0.clone());
      return from_state(env, state(*solver_));
    });
  }

  Napi::Value advance_sync(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    return guarded(env, [&] {
      Point point = point_of(info, to_readable);
      OneThread one_thread;
      return from_state(env, advanced(*solver_, point));
    });
  }

 private:
  struct State {
    bool done;
    double t;
    at::Tensor x;
  };

  // What JavaScript found where the solver asked.
  struct Point {
    at::Tensor velocity;
    std::optional<at::Tensor> unconditional;
    double guidance;
  };

  using Reader = at::Tensor (*)(Napi::Value, const std::string&);
  static Point point_of(const Napi::CallbackInfo& info, Reader tensor_of) {
    Point point{tensor_of(info[0], "OdeSolver: what `velocity` returned"), std::nullopt,
                to_number(info[2], "OdeSolver: guidance")};
    if (!info[1].IsUndefined()) {
      point.unconditional = tensor_of(info[1], "OdeSolver: what `unconditional` returned");
    }
    return point;
  }

  // Clones: the solver keeps a step's start and its first velocity while JavaScript may fill the same memory anew.
  static State advanced(OdeSolver& solver, const Point& point) {
    solver.advance(point.velocity.clone(), point.unconditional, point.guidance);
    return state(solver);
  }

  static State state(const OdeSolver& solver) {
    bool done = solver.done();
    return {done, solver.t(), solver.x()};
  }

  static Napi::Value from_state(Napi::Env env, State state) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("done", state.done);
    object.Set("t", state.t);
    Napi::Object x = wrap_tensor(env, std::move(state.x));
    to_tensor_object(x, "x").set_steady();  // a solver makes a new x each step
    object.Set("x", x);
    return object;
  }

  std::shared_ptr<OdeSolver> solver_;  // jobs keep it too; only one thread advances it
};

}  // namespace

void define_ode_solver(Napi::Env env, Napi::Object exports) {
  exports.Set("OdeSolver", OdeSolverObject::DefineClass(
                               env, "OdeSolver",
                               {
                                   OdeSolverObject::InstanceMethod("start", &OdeSolverObject::start),
                                   OdeSolverObject::InstanceMethod("advance", &OdeSolverObject::advance),
                                   OdeSolverObject::InstanceMethod("startSync", &OdeSolverObject::start_sync),
                                   OdeSolverObject::InstanceMethod("advanceSync", &OdeSolverObject::advance_sync),
                               }));
}

}  // namespace eam::addon
