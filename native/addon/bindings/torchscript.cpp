#include <napi.h>

#include <memory>

#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "nn/rewards/torchscript_reward.h"

namespace eam::addon {
namespace {

// A NativeTorchScript, which loadTorchScript makes.
class TorchScriptObject : public Napi::ObjectWrap<TorchScriptObject> {
 public:
  // JavaScript can reach the constructor through an object of the class; one without a module would end the process.
  explicit TorchScriptObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TorchScriptObject>(info) {
    guarded(info.Env(), [&] {
      if (info.Length() != 1 || !info[0].IsExternal()) {
        throw Error(ErrorKind::config, "TorchScript has no public constructor; use loadTorchScript");
      }
      reward_ = std::move(*info[0].As<Napi::External<std::shared_ptr<nn::TorchScriptReward>>>().Data());
    });
  }

  static void define(Napi::Env env) {
    instance(env).constructor<TorchScriptObject>() =
        Napi::Persistent(DefineClass(env, "TorchScript",
                                     {InstanceAccessor<&TorchScriptObject::required_tensors>("requiredTensors"),
                                      InstanceMethod<&TorchScriptObject::score>("score")}));
  }

  static Napi::Object wrap(Napi::Env env, std::shared_ptr<nn::TorchScriptReward> reward) {
    return instance(env).constructor<TorchScriptObject>().New(
        {Napi::External<std::shared_ptr<nn::TorchScriptReward>>::New(env, &reward)});
  }

 private:
  Napi::Value required_tensors(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(reward_->required_tensors()));
  }

  // score(images, prompts, tensors, wantGrad)
  Napi::Value score(const Napi::CallbackInfo& info) {
    return guarded_promise(info.Env(), [&]() -> Napi::Value {
      return instance(info.Env())
          .executor.submit(
              info.Env(),
              [reward = reward_, images = to_tensor(info[0], "score: images"),
               prompts = to_strings(info[1], "score: prompts"), tensors = to_tensors(info[2], "score: tensors"),
               want_grad = to_boolean(info[3], "score: wantGrad")] {
                return reward->score(images, prompts, tensors, want_grad);
              },
              [](Napi::Env env, nn::TorchScriptReward::Score score) {
                Napi::Object result = Napi::Object::New(env);
                result.Set("values", from_floats(env, score.values));
                if (score.grad.defined()) result.Set("grad", wrap_tensor(env, std::move(score.grad)));
                return result;
              });
    });
  }

  std::shared_ptr<nn::TorchScriptReward> reward_;
};

// loadTorchScript(path, device)
Napi::Value load_torchscript(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const std::string where = "loadTorchScript: device";
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [path = to_string(info[0], "loadTorchScript: path"), device = device_of(to_string(info[1], where), where)] {
              return std::make_shared<nn::TorchScriptReward>(path, device);
            },
            [](Napi::Env env, std::shared_ptr<nn::TorchScriptReward> reward) {
              return TorchScriptObject::wrap(env, std::move(reward));
            });
  });
}

}  // namespace

void define_torchscript(Napi::Env env, Napi::Object exports) {
  TorchScriptObject::define(env);
  exports.Set("loadTorchScript", Napi::Function::New<load_torchscript>(env, "loadTorchScript"));
}

}  // namespace eam::addon
