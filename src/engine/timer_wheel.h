// Many timers, most of them within the next seconds: adding and expiring one costs the same however many there are.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <vector>

#include "escapement/time.h"

namespace escapement {

// A hashed wheel (Varghese and Lauck 1987) of 4,096 slots of 1.024 ms, and a map for what lies beyond its 4.2 s.
// Entries expire at their exact microsecond, in no order within one call. There is no removal: the owner gives each
// entry a mark of its own and ignores those it no longer wants. Not thread-safe.
template <typename T>
class TimerWheel {
 public:
  void Add(Instant due, T value) {
    const std::int64_t slot = std::max(SlotOf(due), current_);
    Put(slot, {due, std::move(value)});
    ++size_;
  }

  // Takes out everything due at or before `now`.
  template <typename Each>
  void Expire(Instant now, Each each) {
    const std::int64_t last = SlotOf(now);
    if (last < current_) MoveBack(last);
    while (size_ > 0 && current_ <= last) {
      auto& slot = slots_[Index(current_)];
      if (!slot.empty()) {
        std::vector<Entry> entries;
        entries.swap(slot);
        for (Entry& e : entries) {
          if (e.due <= now) {
            --size_;
            each(std::move(e.value));
          } else {
            slots_[Index(current_)].push_back(std::move(e));
          }
        }
        if (!slots_[Index(current_)].empty()) break;  // the slot of this very instant
        Mark(current_, false);
      }
      if (current_ == last) break;
      // Jumps over empty slots; what comes nearer is taken from the map.
      const auto next = NextSlot();
      MoveTo(next ? std::min(*next, last) : last);
    }
    if (size_ == 0 && current_ < last) current_ = last;
  }

  // The earliest due time.
  std::optional<Instant> Next() const {
    const auto slot = NextSlot();
    if (!slot) return std::nullopt;
    const auto& entries = *slot - current_ < kSlots ? slots_[Index(*slot)] : beyond_.begin()->second;
    return std::min_element(entries.begin(), entries.end(),
                            [](const Entry& a, const Entry& b) { return a.due < b.due; })
        ->due;
  }

  std::size_t size() const { return size_; }

  void Clear() { *this = TimerWheel(); }

 private:
  struct Entry {
    Instant due;
    T value;
  };
  static constexpr std::int64_t kSlots = 4096;

  static std::int64_t SlotOf(Instant t) { return ToMicros(t) >> 10; }
  static std::size_t Index(std::int64_t slot) { return static_cast<std::size_t>(slot & (kSlots - 1)); }

  void Put(std::int64_t slot, Entry entry) {
    if (slot - current_ >= kSlots) {
      beyond_[slot].push_back(std::move(entry));
      return;
    }
    slots_[Index(slot)].push_back(std::move(entry));
    Mark(slot, true);
  }

  void Mark(std::int64_t slot, bool full) {
    const std::size_t i = Index(slot);
    const std::uint64_t bit = std::uint64_t{1} << (i % 64);
    full ? full_[i / 64] |= bit : full_[i / 64] &= ~bit;
  }

  void MoveTo(std::int64_t slot) {
    current_ = slot;
    while (!beyond_.empty() && beyond_.begin()->first - current_ < kSlots) {
      auto node = beyond_.extract(beyond_.begin());
      for (Entry& e : node.mapped()) Put(std::max(node.key(), current_), std::move(e));
    }
  }

  // The clock was set back: what waits for it must not wait until it is where it was.
  void MoveBack(std::int64_t slot) {
    std::vector<Entry> entries;
    for (auto& s : slots_) {
      std::move(s.begin(), s.end(), std::back_inserter(entries));
      s.clear();
    }
    for (auto& [key, s] : beyond_) std::move(s.begin(), s.end(), std::back_inserter(entries));
    beyond_.clear();
    full_.fill(0);
    current_ = slot;
    for (Entry& e : entries) Put(std::max(SlotOf(e.due), current_), std::move(e));
  }

  std::optional<std::int64_t> NextSlot() const {
    const std::size_t start = Index(current_);
    for (std::size_t step = 0; step <= full_.size(); ++step) {
      const std::size_t word = (start / 64 + step) % full_.size();
      std::uint64_t bits = full_[word];
      if (step == 0) bits &= ~std::uint64_t{0} << (start % 64);
      if (step == full_.size()) bits &= (std::uint64_t{1} << (start % 64)) - 1;
      if (bits == 0) continue;
      const std::size_t index = word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
      return current_ + static_cast<std::int64_t>((index - start) & (kSlots - 1));
    }
    if (!beyond_.empty()) return beyond_.begin()->first;
    return std::nullopt;
  }

  std::vector<std::vector<Entry>> slots_ = std::vector<std::vector<Entry>>(kSlots);
  std::array<std::uint64_t, kSlots / 64> full_{};
  std::map<std::int64_t, std::vector<Entry>> beyond_;
  std::int64_t current_ = 0;
  std::size_t size_ = 0;
};

}  // namespace escapement
