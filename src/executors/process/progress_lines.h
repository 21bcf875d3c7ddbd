// The lines of a command's output that tell how far it has come: see process.h.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace escapement {

inline constexpr std::size_t kProgressLineLimit = 4096;  // bytes of such a line; a longer one is output

// Takes them out of the output, however that is cut into pieces, in bounded memory.
class ProgressLines {
 public:
  using Output = std::function<void(std::string_view)>;
  using Told = std::function<void(double part, std::string note)>;
  ProgressLines(Output output, Told told) : output_(std::move(output)), told_(std::move(told)) {}

  void Append(std::string_view text);
  // After the last piece: what was held back because it might have become such a line.
  void End();

 private:
  void Read(std::string_view text);
  bool Tell(std::string_view line) const;

  const Output output_;
  const Told told_;
  std::string held_;      // the beginning of a line that may be one
  bool at_start_ = true;  // the next byte begins a line
};

}  // namespace escapement
