#include "escapement/status.h"

namespace escapement {

std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kNotFound: return "not found";
    case Code::kConflict: return "conflict";
    case Code::kInvalidArgument: return "invalid argument";
    case Code::kStale: return "stale";
    case Code::kUnavailable: return "unavailable";
    case Code::kTimeout: return "timeout";
    case Code::kInDoubt: return "in doubt";
    case Code::kUnsupported: return "unsupported";
    case Code::kInternal: return "internal";
  }
  return "unknown";
}

}  // namespace escapement
