// The options of schedules that go by local time: zone=, gap=, fold=, seed=.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "escapement/schedule.h"

namespace escapement {

struct LocalOptions {
  ZoneOptions local = {};
  std::optional<std::uint64_t> seed = {};
};

// " zone=Europe/Berlin gap=skip": those that are not as usual.
std::string LocalOptionsText(const LocalOptions& options);
// "Europe/Berlin time; both times when it comes twice".
std::string DescribeLocal(const ZoneOptions& local);

// Collects options, each at most once.
class LocalOptionReader {
 public:
  static bool IsName(std::string_view name);
  // kInvalidArgument naming the option and what is allowed. `name` is one of the four.
  [[nodiscard]] Status Read(std::string_view name, std::string_view value);
  const LocalOptions& options() const { return options_; }

 private:
  std::array<bool, 4> seen_ = {};
  LocalOptions options_;
};

}  // namespace escapement
