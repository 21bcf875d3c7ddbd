// simulate: what the coming days would bring.
#include <langinfo.h>
#include <locale.h>
#include <unistd.h>

#include <charconv>
#include <sstream>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/simulate_input.h"
#include "cli/simulate_report.h"
#include "sim/forecast.h"

namespace escapement {
namespace {

struct SimulateOptions {
  CommonOptions common;
  std::optional<std::string> file;
  std::optional<Instant> from;
  int days = 7;
  int pods = 2;
  std::optional<int> max_running;
  std::vector<std::string> durations;
  std::string fail = "0%";
  std::vector<std::string> faults;
  std::uint64_t seed = 1;
};

// "1%" or "0.01".
Result<double> ParseShare(std::string_view text) {
  const bool percent = text.ends_with('%');
  if (percent) text.remove_suffix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 0 && value <= (percent ? 100 : 1))) {
    return Fail(Code::kInvalidArgument, "must be 0% to 100%, or 0 to 1");
  }
  return percent ? value / 100 : value;
}

// "2026-12-24T10:00:00Z 15m pods=1", "+36h 10m store"; a distance counts from `from`.
Result<ForecastFault> ParseFault(const std::string& text, Instant from) {
  const auto bad = [&text](const std::string& why) {
    return Fail(Code::kInvalidArgument,
                fmt::format("--fault '{}': {}; write TIME LENGTH pods=N, or TIME LENGTH store, with a TIME such as "
                            "2026-12-24T10:00:00Z or +36h",
                            text, why));
  };
  std::istringstream words(text);
  std::string at, length, what, more;
  if (!(words >> at >> length >> what)) return bad("these are not three words");
  if (words >> more) return bad(fmt::format("'{}' is not expected", more));
  ForecastFault fault;
  if (at.starts_with('+')) {
    const auto distance = ParseDuration(std::string_view(at).substr(1));
    if (!distance) return bad(distance.error().message);
    if (*distance > std::chrono::weeks(5200)) return bad("more than 5200 weeks away");
    fault.at = from + *distance;
  } else {
    const auto instant = ParseInstant(at);
    if (!instant) return bad(instant.error().message);
    fault.at = *instant;
  }
  const auto lasts = ParseDuration(length);
  if (!lasts) return bad(lasts.error().message);
  fault.length = *lasts;
  if (what == "store") return fault;
  if (!what.starts_with("pods=")) return bad(fmt::format("there is no fault '{}'", what));
  fault.kind = ForecastFault::Kind::kPods;
  const char* end = what.data() + what.size();
  const auto [stop, error] = std::from_chars(what.data() + 5, end, fault.pods);
  if (error != std::errc() || stop != end) return bad("pods= needs a number");
  return fault;
}

Result<ForecastOptions> ReadOptions(const SimulateOptions& o, const SchedulerOptions& config) {
  ForecastOptions options;
  options.from = o.from.value_or(std::chrono::floor<std::chrono::hours>(SystemNow()));
  options.to = options.from + std::chrono::days(o.days);
  options.pods = o.pods;
  options.max_running = o.max_running.value_or(config.max_running);
  options.seed = o.seed;
  options.takeover = config.session_ttl + config.heartbeat;
  options.horizon = config.horizon;
  const auto fail = ParseShare(o.fail);
  if (!fail) return FailIn("--fail", fail.error());
  options.fail = *fail;
  for (const std::string& text : o.faults) {
    auto fault = ParseFault(text, options.from);
    if (!fault) return tl::unexpected(fault.error());
    options.faults.push_back(*fault);
  }
  if (auto status = Validate(options); !status) return tl::unexpected(status.error());
  return options;
}

// A line on a terminal that says how far it is, and is gone at the end.
class Progress {
 public:
  ~Progress() {
    if (shown_) fmt::print(stderr, "\r\x1b[K");
  }
  void Show(const std::string& text) {
    if (!terminal_) return;
    shown_ = true;
    fmt::print(stderr, "\r{}", text);
    std::fflush(stderr);
  }

 private:
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
  bool shown_ = false;
};

Result<SimulateInput> ReadInput(const SimulateOptions& o, const SchedulerOptions& config, Instant from) {
  if (o.file) return JobsOfFile(*o.file, from);
  auto scheduler = OpenStore(config, Schema::kNeeded);
  if (!scheduler) return tl::unexpected(scheduler.error());
  Progress progress;
  return JobsOfStore(**scheduler, from, [&progress](std::size_t jobs) {
    if (jobs % 500 == 0) progress.Show(fmt::format("reading: {} jobs", jobs));
  });
}

Result<Forecast> Run(const std::vector<ForecastJob>& jobs, ForecastOptions options) {
  Progress progress;
  options.progress = [&progress](double share) { progress.Show(fmt::format("simulating: {:.0f} %", 100 * share)); };
  return MakeForecast(jobs, options);
}

bool LocaleIsUtf8() {
  const locale_t locale = newlocale(LC_CTYPE_MASK, "", nullptr);
  if (locale == nullptr) return false;
  const bool utf8 = std::string_view(nl_langinfo_l(CODESET, locale)) == "UTF-8";
  freelocale(locale);
  return utf8;
}

int Simulate(const SimulateOptions& o) {
  if (o.file && o.common.config.store) {
    return Complain({Code::kInvalidArgument, "the jobs come from --file or from --store, not from both"});
  }
  const auto config = ReadConfig(o.common.config);
  if (!config) return Complain(config.error());
  const auto options = ReadOptions(o, *config);
  if (!options) return Complain(options.error());
  auto input = ReadInput(o, *config, options->from);
  if (!input) return Complain(input.error());
  WarnUnreadable(input->unreadable);
  if (auto status = GiveDurations(o.durations, &*input); !status) return Complain(status.error());
  if (input->jobs.empty()) return Complain({Code::kNotFound, "there are no active jobs to simulate"});

  const auto forecast = Run(input->jobs, *options);
  if (!forecast) return Complain(forecast.error());
  if (o.common.json) {
    PrintJson(SimulateJson(*input, *options, *forecast));
  } else {
    fmt::print("{}", SimulateText(*input, *options, *forecast, LocaleIsUtf8()));
  }
  return 0;
}

}  // namespace

void AddSimulateCommand(CommandLine& line) {
  auto o = std::make_shared<SimulateOptions>();
  CLI::App* simulate = AddCommand(line, "simulate", "Say what the coming days would bring: load, overlaps, misfires",
                                  R"(Examples:
  escapement simulate
  escapement simulate --days 365 --pods 3 --max-running 20
  escapement simulate -f jobs.toml --duration 30s --duration billing/nightly=2h
  escapement simulate --fault '2026-12-24T10:00:00Z 15m pods=1' --fault '+36h 10m store' --fail 1%
Runs jobs of a store or a file on an ideal cluster in virtual time, and changes nothing. How long a run takes is drawn
from the job's history.)",
                                  o, Simulate);
  simulate->add_option("-f,--file", o->file, "Jobs of a file, as for apply, or of an archive; - is standard input")
      ->type_name("FILE");
  AddInstant(simulate, "--from", &o->from, "The begin (now, at the whole hour)");
  simulate->add_option("--days", o->days, "Days to simulate (7)")->check(CLI::Range(1, 3660))->type_name("N");
  simulate->add_option("--pods", o->pods, "Pods (2)")->type_name("N");
  simulate
      ->add_option("--max-running", o->max_running, "Slots of each pod: its runs at once (the configuration's, 10000)")
      ->type_name("N");
  simulate
      ->add_option("--duration", o->durations, "How long runs take: of jobs without a history (5s), or JOB=DURATION")
      ->type_name("DURATION")
      ->allow_extra_args(false);
  simulate->add_option("--fail", o->fail, "The share of runs that fail (0%)")->type_name("SHARE");
  simulate->add_option("--fault", o->faults, "'TIME LENGTH pods=N': only N pods live; 'TIME LENGTH store': it is away")
      ->type_name("FAULT")
      ->allow_extra_args(false);
  simulate->add_option("--seed", o->seed, "Of what is random (1)")->check(CLI::NonNegativeNumber)->type_name("N");
  AddStoreOptions(simulate, &o->common);
  AddJsonOption(simulate, &o->common);
}

}  // namespace escapement
