#include "io/pickle_filter.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "io/refuse.h"
#include "ops/error.h"

namespace eam::io {

namespace {

// What an opcode leaves on the stack.
enum class Kind {
  number,  // whole
  other,   // None, a truth value, a fraction
  text,
  tuple,
  list,
  dict,
  storage_type,
  rebuild_tensor,
  rebuild_parameter,
  ordered_dict,
  storage,
  tensor
};

struct Slot {
  Kind kind;
  int depth = 0;                                           // of the containers in it
  std::shared_ptr<const std::vector<Kind>> elements = {};  // of a tuple
};

// Deeper ones would exhaust the stack of the thread that frees them.
constexpr int max_depth = 64;

constexpr std::array<std::string_view, 10> storage_types = {
    "FloatStorage", "HalfStorage",  "BFloat16Storage", "DoubleStorage", "LongStorage",
    "IntStorage",   "ShortStorage", "CharStorage",     "ByteStorage",   "BoolStorage"};

[[noreturn]] void malformed(const std::string& what) {
  refuse("its pickle is malformed: " + what);
}

class Filter {
 public:
  explicit Filter(std::string_view pickle) : in_(pickle) {}

  std::string run() {
    if (byte() != 0x80) malformed("it does not begin with a protocol");
    const int protocol = byte();
    if (protocol != 2) {
      refuse(bad_value("its pickle", "protocol 2, that of torch.save",
                       words(protocol, "; save it again without `pickle_protocol`"))
                 .what());
    }
    copy(2);
    while (true) {
      begin_ = at_;
      if (step(byte())) break;
    }
    if (stack_.size() != 1 || !marks_.empty()) malformed("it ends with several values");
    if (stack_[0].kind != Kind::dict) {
      refuse(bad_value("its contents", "a dictionary of tensors, such as a state_dict()",
                       stack_[0].kind == Kind::tensor ? "one tensor" : "something else")
                 .what());
    }
    return std::move(out_);
  }

 private:
  int byte() { return static_cast<unsigned char>(take(1)[0]); }

  std::string_view take(size_t count) {
    if (count > in_.size() - at_) malformed("it ends within an instruction");
    const std::string_view bytes = in_.substr(at_, count);
    at_ += count;
    return bytes;
  }

  uint32_t unsigned32() {
    uint32_t value = 0;
    std::memcpy(&value, take(sizeof(value)).data(), sizeof(value));
    return value;
  }

  std::string line() {
    const size_t end = in_.find('\n', at_);
    if (end == std::string_view::npos) malformed("it ends within a name");
    std::string text(take(end - at_));
    take(1);
    return text;
  }

  void copy(size_t count) { out_.append(in_.substr(at_ - count, count)); }
  void keep() { out_.append(in_.substr(begin_, at_ - begin_)); }
  void emit(std::initializer_list<int> bytes) {
    for (const int value : bytes) out_.push_back(static_cast<char>(value));
  }

  void push(Slot slot) {
    if (slot.depth > max_depth) refuse("it holds containers nested more than " + std::to_string(max_depth) + " deep");
    stack_.push_back(std::move(slot));
  }

  // Not below the last mark: what lies there belongs to a container that is still open.
  Slot pop() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) malformed("it takes more values than there are");
    Slot slot = std::move(stack_.back());
    stack_.pop_back();
    return slot;
  }

  Slot& top(Kind kind, const char* what) {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back()) || stack_.back().kind != kind) {
      malformed(std::string("expected ") + what);
    }
    return stack_.back();
  }

  std::vector<Slot> pop_to_mark() {
    if (marks_.empty()) malformed("it closes a container that it did not open");
    const auto from = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Slot> slots(std::make_move_iterator(from), std::make_move_iterator(stack_.end()));
    stack_.erase(from, stack_.end());
    marks_.pop_back();
    return slots;
  }

  static int depth_of(const std::vector<Slot>& slots) {
    int depth = 0;
    for (const Slot& slot : slots) depth = std::max(depth, slot.depth);
    return depth;
  }

  void tuple(const std::vector<Slot>& slots) {
    auto elements = std::make_shared<std::vector<Kind>>();
    for (const Slot& slot : slots) elements->push_back(slot.kind);
    push({Kind::tuple, depth_of(slots) + 1, std::move(elements)});
  }

  void tuple(size_t count) {
    std::vector<Slot> slots;
    while (slots.size() < count) slots.insert(slots.begin(), pop());
    tuple(slots);
  }

  void add(Kind kind, const char* what, const std::vector<Slot>& slots) {
    Slot& container = top(kind, what);
    container.depth = std::max(container.depth, depth_of(slots) + 1);
    if (container.depth > max_depth) {
      refuse("it holds containers nested more than " + std::to_string(max_depth) + " deep");
    }
  }

  void add_items(const std::vector<Slot>& slots) {
    if (slots.size() % 2 != 0) malformed("a key has no value");
    for (size_t i = 0; i < slots.size(); i += 2) {
      if (slots[i].kind != Kind::text && slots[i].kind != Kind::number) {
        refuse("it holds a dictionary with a key that is neither a string nor a whole number");
      }
    }
    add(Kind::dict, "a dictionary", slots);
  }

  void put(size_t index) {
    // As Python counts them; an arbitrary one would have a table of that length made.
    if (index > memo_.size() || stack_.empty()) malformed("it remembers a value out of order");
    if (index == memo_.size())
      memo_.push_back(stack_.back());
    else
      memo_[index] = stack_.back();
  }

  void get(size_t index) {
    if (index >= memo_.size()) malformed("it recalls a value that it did not remember");
    const Slot& slot = memo_[index];
    // Else one could contain itself.
    if (slot.kind == Kind::dict || slot.kind == Kind::list) {
      refuse("it holds the same dictionary or list in two places; save them apart, as copies");
    }
    push(slot);
  }

  void global(const std::string& module, const std::string& name) {
    if (module == "collections" && name == "OrderedDict") return push({Kind::ordered_dict});
    if (module == "torch._utils" && name == "_rebuild_tensor_v2") return push({Kind::rebuild_tensor});
    if (module == "torch._utils" && name == "_rebuild_parameter") return push({Kind::rebuild_parameter});
    if (module == "torch" && std::find(storage_types.begin(), storage_types.end(), name) != storage_types.end()) {
      return push({Kind::storage_type});
    }
    refuse("it asks for " + module + "." + name +
           " of Python, and only dictionaries of tensors are read here: nothing "
           "in a file is run. If you trust the file, load it in Python and save its tensors alone, "
           "torch.save({name: tensor, …}, path)");
  }

  void call() {
    const Slot arguments = pop(), function = pop();
    if (arguments.kind != Kind::tuple) malformed("a function's arguments are no tuple");
    const std::vector<Kind>& kinds = *arguments.elements;
    switch (function.kind) {
      case Kind::ordered_dict:
        if (!kinds.empty()) {
          refuse("it makes an OrderedDict out of a list, as Python 2 did; save it again with Python 3");
        }
        // LibTorch's unpickler would leave None. Its NEWOBJ removes a value: the arguments, then the function.
        emit({0x81, 0x81, '}'});
        return push({Kind::dict, 1});
      case Kind::rebuild_tensor:
        // A seventh says that the elements are to be conjugated or negated.
        if (kinds.size() != 6 || kinds[0] != Kind::storage || kinds[1] != Kind::number || kinds[2] != Kind::tuple ||
            kinds[3] != Kind::tuple) {
          refuse("it holds a tensor that is not made of a storage, an offset, a shape and strides");
        }
        keep();
        return push({Kind::tensor});
      case Kind::rebuild_parameter:
        if (kinds.size() != 3 || kinds[0] != Kind::tensor) malformed("a parameter is made of no tensor");
        keep();
        return push({Kind::tensor});
      default:
        malformed("it calls what is no function");
    }
  }

  void storage() {
    const Slot id = pop();
    constexpr std::array<Kind, 5> expected = {Kind::text, Kind::storage_type, Kind::text, Kind::text, Kind::number};
    if (id.kind != Kind::tuple ||
        !std::equal(expected.begin(), expected.end(), id.elements->begin(), id.elements->end())) {
      malformed("a storage is not named by its type, key, device and length");
    }
    keep();
    push({Kind::storage});
  }

  // LibTorch's unpickler reads eight bytes only.
  void long_number() {
    const auto count = static_cast<size_t>(byte());
    if (count > sizeof(int64_t)) refuse("it holds a whole number of more than 64 bits");
    const std::string_view bytes = take(count);
    std::string wide(sizeof(int64_t), count > 0 && (bytes[count - 1] & 0x80) != 0 ? '\xff' : '\0');
    std::copy(bytes.begin(), bytes.end(), wide.begin());
    emit({0x8a, 8});
    out_ += wide;
    push({Kind::number});
  }

  // Whether it was the last.
  bool step(int opcode) {
    switch (opcode) {
      case '.':
        return keep(), true;
      case '(':
        marks_.push_back(stack_.size());
        return keep(), false;
      case 'N':
      case 0x88:
      case 0x89:
        return push({Kind::other}), keep(), false;
      case 'G':
        return take(8), push({Kind::other}), keep(), false;
      case 'K':
        return take(1), push({Kind::number}), keep(), false;
      case 'M':
        return take(2), push({Kind::number}), keep(), false;
      case 'J':
        return take(4), push({Kind::number}), keep(), false;
      case 0x8a:
        return long_number(), false;
      case 'X':
        return take(unsigned32()), push({Kind::text}), keep(), false;
      case '}':
        return push({Kind::dict, 1}), keep(), false;
      case ']':
        return push({Kind::list, 1}), keep(), false;
      case ')':
        return tuple(0), keep(), false;
      case 0x85:
      case 0x86:
      case 0x87:
        return tuple(static_cast<size_t>(opcode - 0x84)), keep(), false;
      case 't':
        return tuple(pop_to_mark()), keep(), false;
      case 'q':
        return put(static_cast<size_t>(byte())), keep(), false;
      case 'r':
        return put(unsigned32()), keep(), false;
      case 'h':
        return get(static_cast<size_t>(byte())), keep(), false;
      case 'j':
        return get(unsigned32()), keep(), false;
      case 'a': {
        const std::vector<Slot> item = {pop()};
        return add(Kind::list, "a list", item), keep(), false;
      }
      case 'e':
        return add(Kind::list, "a list", pop_to_mark()), keep(), false;
      case 's': {
        std::vector<Slot> item = {pop()};
        item.insert(item.begin(), pop());
        return add_items(item), keep(), false;
      }
      case 'u':
        return add_items(pop_to_mark()), keep(), false;
      case 'c': {
        const std::string module = line(), name = line();
        return global(module, name), keep(), false;
      }
      case 'R':
        return call(), false;
      case 'b': {
        // The attributes of an OrderedDict, such as a state_dict's _metadata, are left out.
        if (pop().kind != Kind::dict) malformed("attributes are no dictionary");
        top(Kind::dict, "a dictionary to give attributes to");
        return emit({0x81}), false;
      }
      case 'Q':
        return storage(), false;
      default:
        malformed("instruction " + std::to_string(opcode) + " is none that torch.save writes");
    }
  }

  const std::string_view in_;
  size_t at_ = 0, begin_ = 0;
  std::string out_;
  std::vector<Slot> stack_, memo_;
  std::vector<size_t> marks_;
};

}  // namespace

std::string plain_pickle(std::string_view pickle) {
  return Filter(pickle).run();
}

}  // namespace eam::io
