// Prints every described struct of options as JSON, for scripts/generate.mjs. Needs neither LibTorch nor Node.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <vector>

#include "algorithms/adjoint_matching_options.h"
#include "algorithms/backpropagation_options.h"
#include "algorithms/eam_options.h"
#include "algorithms/flow_matching_options.h"
#include "algorithms/optimizer_options.h"
#include "algorithms/sampler_options.h"
#include "nn/kind_list.h"
#include "nn/layers/lora_options.h"
#include "ops/kernel_options.h"
#include "ops/options.h"

namespace {

using namespace eam;

// In the order in which they are written out.
const OptionTable* const tables[] = {&ModeOptions::table(),
                                     &RewardOptions::table(),
                                     &EamOptions::table(),
                                     &AdjointMatchingOptions::table(),
                                     &BackpropagationOptions::table(),
                                     &ReflOptions::table(),
                                     &DraftOptions::table(),
                                     &AlignPropOptions::table(),
                                     &OptimizerOptions::table(),
                                     &FlowMatchingOptions::table(),
                                     &SamplerOptions::table(),
                                     &ops::PhiloxNormalOptions::table(),
                                     &ops::RenoiseOptions::table(),
                                     &ops::TerminalGradientOptions::table(),
                                     &ops::Matching::table(),
                                     &ops::FlowMatchingLossOptions::table(),
                                     &ops::MemorylessStepOptions::table(),
                                     &ops::LeanAdjointStepOptions::table()};

struct Network {
  const char* name;
  const OptionTable* config;
  const char* interface;
};

#define EAM_NETWORK(kind, name, Config, interface) {name, &nn::Config::table(), interface},
const Network networks[] = {EAM_NETWORKS(EAM_NETWORK)};
#undef EAM_NETWORK

// A table after those that it is made of.
void add(const OptionTable& table, std::vector<const OptionTable*>& found) {
  if (table.base) add(*table.base, found);
  for (const Option& option : table.options) {
    if (option.table) add(*option.table, found);
  }
  if (std::find(found.begin(), found.end(), &table) == found.end()) found.push_back(&table);
}

std::vector<const OptionTable*> network_tables() {
  std::vector<const OptionTable*> found;
  add(nn::LoraConfig::table(), found);
  for (const Network& network : networks) add(*network.config, found);
  return found;
}

std::string json(const std::string& text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') result += '\\';
    result += letter;
  }
  return result + "\"";
}

template <class Items, class Print>
std::string list(const Items& items, const Print& print) {
  std::string result = "[";
  for (const auto& item : items) result += (result.size() > 1 ? ", " : "") + print(item);
  return result + "]";
}

const char* kind_name(OptionKind kind) {
  switch (kind) {
    case OptionKind::boolean:
      return "boolean";
    case OptionKind::number:
      return "number";
    case OptionKind::integer:
      return "integer";
    case OptionKind::choice:
      return "choice";
    case OptionKind::text:
      return "text";
    case OptionKind::numbers:
      return "numbers";
    case OptionKind::integers:
      return "integers";
    case OptionKind::texts:
      return "texts";
    case OptionKind::rows:
      return "rows";
    case OptionKind::seed:
      return "seed";
    case OptionKind::object:
      return "object";
    case OptionKind::given:
      return "given";
  }
  return "";
}

struct PrintValue {
  std::string operator()(std::monostate) const { return "null"; }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(double value) const { return number_text(value); }
  std::string operator()(uint64_t value) const { return json(std::to_string(value)); }
  std::string operator()(const std::string& value) const { return json(value); }
  template <class Item>
  std::string operator()(const std::vector<Item>& values) const {
    return list(values, *this);
  }
};

std::string bound(double value) {
  return value - value == 0 ? number_text(value) : "null";  // infinity: none
}

std::string print(const Option& option, const OptionTable& table) {
  const std::string fields[] = {
      "\"name\": " + json(option.name),
      std::string("\"kind\": \"") + kind_name(option.kind) + "\"",
      "\"text\": " + json(option.text),
      "\"least\": " + bound(option.range.least),
      std::string("\"leastExcluded\": ") + (option.range.least_excluded ? "true" : "false"),
      "\"most\": " + bound(option.range.most),
      std::string("\"mostExcluded\": ") + (option.range.most_excluded ? "true" : "false"),
      "\"length\": " + std::to_string(option.length),
      "\"choices\": " + (option.choices ? list(option.choices->names, json) : "null"),
      "\"choicesType\": " + json(option.choices ? option.choices->type : ""),
      "\"choicesText\": " + json(option.choices ? option.choices->text : ""),
      "\"type\": " + json(option.type),
      "\"table\": " + (option.table ? json(option.table->name) : "null"),
      std::string("\"required\": ") + (option.required ? "true" : "false"),
      std::string("\"optional\": ") + (option.optional ? "true" : "false"),
      std::string("\"switched\": ") + (option.switched ? "true" : "false"),
      "\"inherited\": " + std::string(table.base && table.base->find(option.name) ? "true" : "false"),
      "\"default\": " + (option.table || option.required || !option.get
                             ? "null"
                             : std::visit(PrintValue{}, option.get(table.defaults)))};
  std::string text;
  for (const std::string& field : fields) text += (text.empty() ? "" : ", ") + field;
  return "\n    { " + text + " }";
}

std::string print(const OptionTable& table) {
  return "\n  { \"name\": " + json(table.name) + ", \"text\": " + json(table.text) + ", \"tag\": " + json(table.tag) +
         ", \"validated\": " + (table.validated ? "true" : "false") +
         ", \"base\": " + (table.base ? json(table.base->name) : "null") +
         ", \"options\": " + list(table.options, [&](const Option& option) { return print(option, table); }) + " }";
}

std::string print_solvers() {
  const std::vector<std::string>& names = choices_of(SolverKind{}).names;
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    const SolverCost cost = cost_of(static_cast<SolverKind>(i));
    text += words(i ? ", " : "", json(names[i]), ": { \"perStep\": ", cost.per_step,
                  ", \"fewerAtData\": ", cost.fewer_at_data, " }");
  }
  return "{ " + text + " }";
}

}  // namespace

int main() {
  const auto print_table = [](const OptionTable* table) { return print(*table); };
  const auto print_network = [](const Network& network) {
    return "\n  { \"name\": " + json(network.name) + ", \"config\": " + json(network.config->name) +
           ", \"interface\": " + json(network.interface) + " }";
  };
  std::cout << "{ \"tables\": " << list(tables, print_table)
            << ", \"networkTables\": " << list(network_tables(), print_table)
            << ", \"networks\": " << list(networks, print_network) << ", \"solverCosts\": " << print_solvers()
            << " }\n";
}
