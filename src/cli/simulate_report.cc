#include "cli/simulate_report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <iterator>
#include <set>
#include <vector>

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace escapement {
namespace {

using std::chrono::days;
using std::chrono::hours;

constexpr std::array<const char*, 9> kBlocks = {"·", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::array<const char*, 9> kAscii = {".", ":", "-", "=", "+", "*", "x", "#", "@"};
constexpr int kDailyRows = 35;  // a longer window has rows of weeks, or longer
constexpr int kMostRows = 53;
constexpr std::size_t kWorst = 5;  // jobs, by each measure
constexpr std::array<double, 4> kPercents = {50, 90, 99, 99.9};

double Share(Duration busy, Duration of) { return static_cast<double>(busy.count()) / static_cast<double>(of.count()); }

std::string Percent(double share) {
  return share > 0 && share < 0.001 ? "< 0.1 %" : fmt::format("{:.1f} %", 100 * share);
}

std::string Plural(std::int64_t count, const char* word) {
  return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

const char* SourceName(DurationSource source) {
  constexpr std::array<const char*, 3> kNames = {"history", "given", "default"};
  return kNames.at(static_cast<std::size_t>(source));
}

// ---------------------------------------------------------------- the plot

// The days of one row, hour by hour; an hour of several days is the busiest of them.
struct Row {
  std::chrono::sys_days first;
  std::array<bool, 24> there{};
  std::array<HourForecast, 24> hours{};
  std::int64_t runs = 0;
};

std::vector<Row> Rows(const ForecastOptions& options, const Forecast& forecast, int days_of_row) {
  const auto first_day = std::chrono::floor<days>(options.from);
  std::vector<Row> rows;
  for (std::size_t i = 0; i < forecast.hours.size(); ++i) {
    const HourForecast& hour = forecast.hours[i];
    const auto at = (forecast.first_hour - first_day) / hours(1) + static_cast<std::int64_t>(i);
    const auto row = static_cast<std::size_t>(at / 24 / days_of_row);
    while (rows.size() <= row) rows.push_back({.first = first_day + days(days_of_row) * rows.size()});
    const auto of_day = static_cast<std::size_t>(at % 24);
    HourForecast& cell = rows[row].hours[of_day];
    rows[row].there[of_day] = true;
    rows[row].runs += hour.runs;
    cell.runs = std::max(cell.runs, hour.runs);
    cell.busy = std::max(cell.busy, hour.busy);
  }
  return rows;
}

template <typename Value>
std::string Strip(const Row& row, bool blocks, double most, Value value) {
  std::string strip;
  for (std::size_t i = 0; i < 24; ++i) {
    if (!row.there[i]) {
      strip += ' ';
      continue;
    }
    const double v = value(row.hours[i]);
    const auto level =
        v <= 0 ? 0 : std::clamp(static_cast<std::size_t>(std::ceil(8 * v / most)), std::size_t{1}, std::size_t{8});
    strip += (blocks ? kBlocks : kAscii)[level];
  }
  return strip;
}

std::string Plot(const ForecastOptions& options, const Forecast& forecast, bool blocks) {
  const auto count =
      (std::chrono::floor<days>(options.to - Duration(1)) - std::chrono::floor<days>(options.from)).count() + 1;
  const int days_of_row = count <= kDailyRows ? 1 : std::max(7, static_cast<int>((count + kMostRows - 1) / kMostRows));
  const auto runs = [](const HourForecast& hour) { return static_cast<double>(hour.runs); };
  const auto busy = [&](const HourForecast& hour) { return Share(hour.busy, forecast.slots * hours(1)); };
  double most_runs = 0;
  double most_busy = 0;
  for (const HourForecast& hour : forecast.hours) {
    most_runs = std::max(most_runs, runs(hour));
    most_busy = std::max(most_busy, busy(hour));
  }
  const char* full = (blocks ? kBlocks : kAscii)[8];
  constexpr const char* kScale = "00    06    12    18    ";
  std::string text =
      fmt::format("{:14}  {:38}  {}\n", "by hour, UTC", fmt::format("runs, {} = {:.0f}", full, most_runs),
                  fmt::format("busy slots, {} = {}", full, Percent(most_busy)));
  text += fmt::format("{:14}  {}  {:>10}    {}  {:>7}\n", "", kScale, "runs", kScale, "most");
  for (const Row& row : Rows(options, forecast, days_of_row)) {
    double row_busy = 0;
    for (const HourForecast& hour : row.hours) row_busy = std::max(row_busy, busy(hour));
    text += fmt::format("{:%a %Y-%m-%d}  {}  {:>10}    {}  {:>7}\n", row.first, Strip(row, blocks, most_runs, runs),
                        row.runs, Strip(row, blocks, most_busy, busy), Percent(row_busy));
  }
  if (days_of_row > 1) {
    text += fmt::format("Each row is {} days, each hour of it the busiest of these days.\n", days_of_row);
  }
  return text;
}

// ---------------------------------------------------------------- figures

// The worst by lateness, by skipped points and by overlaps, latest first.
std::vector<const JobForecast*> Worst(const Forecast& forecast) {
  std::vector<const JobForecast*> all;
  for (const JobForecast& job : forecast.jobs) all.push_back(&job);
  std::set<const JobForecast*> chosen;
  const auto choose = [&](auto measure) {
    std::stable_sort(all.begin(), all.end(),
                     [&](const JobForecast* a, const JobForecast* b) { return measure(*a) > measure(*b); });
    for (std::size_t i = 0; i < std::min(kWorst, all.size()) && measure(*all[i]) > 0; ++i) chosen.insert(all[i]);
  };
  choose([](const JobForecast& job) { return job.overlaps; });
  choose([](const JobForecast& job) { return job.skipped; });
  choose([](const JobForecast& job) { return job.lateness_max.count(); });
  std::erase_if(all, [&](const JobForecast* job) { return !chosen.contains(job); });
  return all;
}

std::string WorstTable(const Forecast& forecast) {
  const auto worst = Worst(forecast);
  if (worst.empty()) return {};
  std::string text =
      fmt::format("\n{:>12} {:>10} {:>10} {:>10}  the worst jobs\n", "latest", "skipped", "overlaps", "runs");
  for (const JobForecast* job : worst) {
    text += fmt::format("{:>12} {:>10} {:>10} {:>10}  {}\n", HumanDuration(job->lateness_max), job->skipped,
                        job->overlaps, job->runs, OneLine(job->id));
  }
  return text;
}

std::string FaultText(const FaultForecast& f) {
  const std::string what = f.fault.kind == ForecastFault::Kind::kStore
                               ? std::string("the store is away")
                               : fmt::format("{} of the pods {}", f.fault.pods, f.fault.pods == 1 ? "lives" : "live");
  const std::string end = f.recovery
                              ? fmt::format("lateness is normal again {} after its end", HumanDuration(*f.recovery))
                              : std::string("lateness is not normal again before the window ends");
  return fmt::format(
      "{} for {}: {}\n"
      "  {}; until then (and without faults):\n"
      "  {} late ({}), the latest by {} ({}); {} skipped ({}); {} run again, {} lost\n",
      FormatInstant(f.fault.at), FormatDuration(f.fault.length), what, end, f.effect.late, f.without.late,
      HumanDuration(f.effect.lateness_max), HumanDuration(f.without.lateness_max), f.effect.skipped, f.without.skipped,
      f.effect.reruns, f.effect.lost);
}

OutputJson EffectJson(const FaultEffect& effect) {
  return {{"late", effect.late},
          {"lateness_max", FormatDuration(effect.lateness_max)},
          {"skipped", effect.skipped},
          {"reruns", effect.reruns},
          {"lost", effect.lost}};
}

OutputJson JobJson(const JobForecast& job) {
  OutputJson json = {{"points", job.points},
                     {"started", job.started},
                     {"skipped", job.skipped},
                     {"skipped_behind", job.skipped_behind},
                     {"waiting", job.waiting},
                     {"overlaps", job.overlaps},
                     {"runs", job.runs},
                     {"failed", job.failed},
                     {"timed_out", job.timed_out},
                     {"replaced", job.replaced},
                     {"reruns", job.reruns},
                     {"lost", job.lost},
                     {"busy", FormatDuration(job.busy)},
                     {"lateness_max", FormatDuration(job.lateness_max)}};
  json["latest"] = job.lateness_max > Duration(0) ? OutputJson(FormatInstant(job.latest)) : OutputJson(nullptr);
  return json;
}

std::string PercentName(double percent) { return fmt::format("p{}", percent); }

}  // namespace

std::string SimulateText(const SimulateInput& input, const ForecastOptions& options, const Forecast& forecast,
                         bool blocks) {
  const JobForecast total = forecast.Total();
  const auto jobs = static_cast<std::int64_t>(input.jobs.size());
  std::string sources;
  const auto source = [&](DurationSource s, const std::string& name) {
    const auto count = std::count(input.sources.begin(), input.sources.end(), s);
    if (count > 0) sources += fmt::format("{}of {} {}", sources.empty() ? "" : ", ", Plural(count, "job"), name);
  };
  source(DurationSource::kHistory, "from history");
  source(DurationSource::kGiven, "as given");
  source(DurationSource::kDefault, "taken to be " + HumanDuration(kDefaultDuration));
  std::string text =
      fmt::format("{} to {}: {} on {} of {}, seed {}\n", FormatInstant(options.from), FormatInstant(options.to),
                  Plural(jobs, "job"), Plural(options.pods, "pod"), Plural(options.max_running, "slot"), options.seed);
  text += "how long runs take: " + sources + "\n";
  if (input.paused > 0) {
    text += fmt::format("left out: {}\n", Plural(static_cast<std::int64_t>(input.paused), "paused job"));
  }
  text += "\n" + Plot(options, forecast, blocks) + "\n";

  const auto line = [&](const char* name, const std::string& value) { text += fmt::format("{:9} {}\n", name, value); };
  line("points", fmt::format("{}: {} started, {} skipped, {} still waiting at the end", total.points, total.started,
                             total.skipped, total.waiting));
  line("runs",
       fmt::format("{}: {} failed, {} timed out{}", total.runs, total.failed, total.timed_out,
                   total.replaced > 0 ? fmt::format(", {} replaced by the next occurrence", total.replaced) : ""));
  line("overlaps", fmt::format("{} points came due while the job's previous run went", total.overlaps));
  line("misfires", fmt::format("{} while the job itself ran, {} for want of slots or pods", total.skipped_behind,
                               total.skipped - total.skipped_behind));
  std::string lateness;
  for (const double percent : kPercents) {
    lateness += fmt::format("{} {}, ", PercentName(percent), HumanDuration(forecast.lateness.Percentile(percent)));
  }
  line("lateness", lateness + "longest " + HumanDuration(forecast.lateness.max()));
  line("at once", fmt::format("{} of {} slots at most, first at {}; {} busy on average", forecast.peak, forecast.slots,
                              FormatInstant(forecast.peak_at),
                              Percent(Share(total.busy, forecast.slots * (options.to - options.from)))));
  text += WorstTable(forecast);
  if (!forecast.faults.empty()) text += "\n";
  for (const FaultForecast& fault : forecast.faults) text += FaultText(fault);
  return text;
}

OutputJson SimulateJson(const SimulateInput& input, const ForecastOptions& options, const Forecast& forecast) {
  OutputJson json = {{"from", FormatInstant(options.from)},
                     {"to", FormatInstant(options.to)},
                     {"pods", options.pods},
                     {"max_running", options.max_running},
                     {"slots", forecast.slots},
                     {"fail", options.fail},
                     {"seed", options.seed},
                     {"paused", input.paused},
                     {"unreadable", input.unreadable}};
  json["total"] = JobJson(forecast.Total());
  for (const double percent : kPercents) {
    json["lateness"][PercentName(percent)] = FormatDuration(forecast.lateness.Percentile(percent));
  }
  json["lateness"]["max"] = FormatDuration(forecast.lateness.max());
  json["peak"] = {{"running", forecast.peak}, {"at", FormatInstant(forecast.peak_at)}};
  OutputJson hours_json = {{"first", FormatInstant(forecast.first_hour)},
                           {"runs", OutputJson::array()},
                           {"skipped", OutputJson::array()},
                           {"busy_seconds", OutputJson::array()},
                           {"peak", OutputJson::array()}};
  for (const HourForecast& hour : forecast.hours) {
    hours_json["runs"].push_back(hour.runs);
    hours_json["skipped"].push_back(hour.skipped);
    hours_json["busy_seconds"].push_back(static_cast<double>(hour.busy.count()) / 1e6);
    hours_json["peak"].push_back(hour.peak);
  }
  json["hours"] = std::move(hours_json);
  json["jobs"] = OutputJson::array();
  for (std::size_t i = 0; i < forecast.jobs.size(); ++i) {
    OutputJson job = {{"name", forecast.jobs[i].id}, {"durations", SourceName(input.sources[i])}};
    job.update(JobJson(forecast.jobs[i]));
    json["jobs"].push_back(std::move(job));
  }
  json["faults"] = OutputJson::array();
  for (const FaultForecast& fault : forecast.faults) {
    OutputJson f = {{"at", FormatInstant(fault.fault.at)}, {"length", FormatDuration(fault.fault.length)}};
    const bool store = fault.fault.kind == ForecastFault::Kind::kStore;
    f["what"] = store ? "store" : "pods";
    if (!store) f["pods"] = fault.fault.pods;
    f.update(EffectJson(fault.effect));
    f["without"] = EffectJson(fault.without);
    f["recovery"] = fault.recovery ? OutputJson(FormatDuration(*fault.recovery)) : OutputJson(nullptr);
    json["faults"].push_back(std::move(f));
  }
  return json;
}

}  // namespace escapement
