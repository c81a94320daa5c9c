#include "load/report.h"

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace talaria::load {
namespace {

using Json = nlohmann::ordered_json;

double in_us(uint64_t nanoseconds) { return std::round(static_cast<double>(nanoseconds) / 10) / 100; }
double rounded(double value) { return std::round(value * 10) / 10; }

Json percentiles(const base::FineHistogramSum& sum) {
  if (sum.total() == 0) return nullptr;
  Json json;
  json["p50"] = in_us(sum.percentile(0.5));
  json["p90"] = in_us(sum.percentile(0.9));
  json["p99"] = in_us(sum.percentile(0.99));
  json["p99.9"] = in_us(sum.percentile(0.999));
  json["p99.99"] = in_us(sum.percentile(0.9999));
  json["max"] = in_us(sum.max());
  json["count"] = sum.total();
  return json;
}

// Turns by length, in powers of two of a microsecond: the buckets below 2^n ns lie exactly below.
Json turns_by_length(const base::FineHistogramSum& sum) {
  using Histogram = base::FineHistogramSum::Histogram;
  Json json = Json::array();
  unsigned bucket = 0;
  for (uint64_t bound = 1024; bucket < Histogram::buckets && bound != 0; bound *= 2) {
    uint64_t turns = 0;
    for (; bucket < Histogram::buckets && Histogram::upper_edge(bucket) < bound; bucket++) turns += sum.count(bucket);
    if (turns != 0) json.push_back({{"below_us", in_us(bound)}, {"turns", turns}});
  }
  return json;
}

Json loop_json(const LoopFigures& loop) {
  Json json;
  json["turns"] = loop.turn_lengths.total();
  json["longest_us"] = in_us(loop.turn_lengths.max());
  json["turn_us"] = percentiles(loop.turn_lengths);
  json["turns_by_length"] = turns_by_length(loop.turn_lengths);
  json["waited_ms"] = loop.waited_ms ? Json(rounded(*loop.waited_ms)) : Json(nullptr);
  json["preemptions"] = loop.preemptions ? Json(*loop.preemptions) : Json(nullptr);
  return json;
}

std::string sizes_text(const Plan& plan) {
  std::string text;
  for (const BodySize& size : plan.sizes) {
    text += (text.empty() ? "" : ",") + std::to_string(size.bytes);
    if (plan.sizes.size() > 1 && size.weight != 1) text += ":" + std::to_string(size.weight);
  }
  return text;
}

__attribute__((format(printf, 1, 2))) std::string formatted(const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  const int size = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  return {line, static_cast<size_t>(std::clamp(size, 0, static_cast<int>(sizeof line) - 1))};
}

std::string plan_text(const Plan& plan) {
  std::string text = std::to_string(plan.producers) + " -> " + std::string(to_text(plan.exchange)) + ", " +
                     std::to_string(plan.queues) + " queue(s) -> " + std::to_string(plan.consumers) + ", " +
                     sizes_text(plan) + " B";
  if (plan.bindings != 0) text += ", " + std::to_string(plan.bindings) + " bindings";
  if (plan.acks != Acks::none) text += ", acks " + std::string(to_text(plan.acks));
  if (plan.prefetch != 0) text += ", prefetch " + std::to_string(plan.prefetch);
  if (plan.confirm_window != 0) text += ", confirms " + std::to_string(plan.confirm_window);
  if (plan.in_flight != 0) text += ", in flight " + std::to_string(plan.in_flight);
  text += plan.paced() ? formatted(", %.0f/s", plan.rate) : ", flat out";
  return text;
}

std::string latency_text(const base::FineHistogramSum& sum) {
  if (sum.total() == 0) return "none measured";
  return formatted("p50 %.1f  p99 %.1f  p99.9 %.1f  p99.99 %.1f  max %.1f us", in_us(sum.percentile(0.5)),
                   in_us(sum.percentile(0.99)), in_us(sum.percentile(0.999)), in_us(sum.percentile(0.9999)),
                   in_us(sum.max()));
}

std::string loop_text(const char* name, const LoopFigures& loop) {
  std::string text = formatted("%-10s %s", name, latency_text(loop.turn_lengths).c_str());
  if (loop.waited_ms) text += formatted("; waited for its core %.1f ms", *loop.waited_ms);
  if (loop.preemptions) text += formatted(", preempted %llu times", static_cast<unsigned long long>(*loop.preemptions));
  return text + "\n";
}

double in_seconds(base::Duration duration) { return static_cast<double>(duration.count()) / 1e9; }

Json bytes_each(const Report& report) {
  if (!report.bytes_at_rest || !report.result.rest) return nullptr;
  return static_cast<double>(*report.bytes_at_rest) / static_cast<double>(report.result.rest->messages);
}

}  // namespace

std::string to_json(const Report& report) {
  const Plan& plan = report.plan;
  const Result& result = report.result;
  Json json;
  if (!report.label.empty()) json["label"] = report.label;
  json["transport"] = report.transport;
  json["mtu"] = report.mtu;
  json["producers"] = plan.producers;
  json["consumers"] = plan.consumers;
  json["queues"] = plan.queues;
  json["exchange"] = to_text(plan.exchange);
  json["bindings"] = plan.exchange == ExchangeKind::none ? 0 : plan.binding_count();
  json["size"] = sizes_text(plan);
  json["acks"] = to_text(plan.acks);
  json["prefetch"] = plan.prefetch;
  json["confirm_window"] = plan.confirm_window;
  json["in_flight"] = plan.in_flight;
  json["rate"] = plan.paced() ? Json(plan.rate) : Json(nullptr);
  json["seconds"] = std::round(result.seconds() * 1000) / 1000;
  if (result.rest) {
    json["at_rest"] = {{"messages", result.rest->messages},
                       {"fill_seconds", in_seconds(result.rest->fill)},
                       {"drain_seconds", in_seconds(result.rest->drain)},
                       {"bytes_each", bytes_each(report)}};
  }

  json["failure"] = result.failure.empty() ? Json(nullptr) : Json(result.failure);
  json["publish_rate"] = rounded(result.publish_rate());
  json["deliver_rate"] = rounded(result.deliver_rate());
  json["confirm_rate"] = plan.confirm_window == 0 ? Json(nullptr) : Json(rounded(result.confirm_rate()));
  json["published"] = result.all.published;
  json["delivered"] = result.all.delivered;
  json["lost"] = result.lost;
  json["duplicated"] = result.duplicated;
  json["reordered"] = result.reordered;
  json["strangers"] = result.strangers;
  json["returned"] = result.returned;
  json["refused"] = result.refused;
  json["unconfirmed"] = result.unconfirmed;
  json["redelivered"] = result.redelivered;
  json["blocked_times"] = result.blocked_times;
  json["retransmitted"] = result.retransmitted;
  json["latency_us"] = percentiles(result.latency);
  json["confirm_latency_us"] = percentiles(result.confirm_latency);
  json["send_lag_max_us"] =
      plan.paced() ? Json(in_us(static_cast<uint64_t>(result.send_lag_max.count()))) : Json(nullptr);

  Json loops;
  loops["broker"] = report.broker ? loop_json(*report.broker) : Json(nullptr);
  loops["load"] = loop_json(report.load);
  json["loops"] = loops;
  if (report.ceiling) {
    json["ceiling"] = {{"publish_rate", rounded(report.ceiling->publish_rate)},
                       {"deliver_rate", rounded(report.ceiling->deliver_rate)}};
  } else {
    json["ceiling"] = nullptr;
    json["ceiling_reason"] = report.ceiling_reason;
  }
  if (report.knee) json["knee"] = *report.knee == 0 ? Json(nullptr) : Json(rounded(*report.knee));
  Json machine;
  for (const auto& [name, value] : report.machine) machine[name] = value;
  json["machine"] = machine;
  return json.dump();
}

std::string to_text(const Report& report) {
  const Result& result = report.result;
  std::string text;
  if (!report.label.empty()) text += report.label + "\n";
  text +=
      formatted("%-10s %s, mtu %u, %s\n", "run", report.transport.c_str(), report.mtu, plan_text(report.plan).c_str());
  if (!result.failure.empty()) return text + formatted("%-10s %s\n", "FAILED", result.failure.c_str());
  text += formatted("%-10s publish %.0f/s  deliver %.0f/s over %.3f s\n", "rates", result.publish_rate(),
                    result.deliver_rate(), result.seconds());
  if (report.ceiling)
    text += formatted("%-10s publish %.0f/s  deliver %.0f/s (the load against a sink)\n", "ceiling",
                      report.ceiling->publish_rate, report.ceiling->deliver_rate);
  else
    text += formatted("%-10s not measured: %s\n", "ceiling", report.ceiling_reason.c_str());
  if (result.rest) {
    text += formatted("%-10s %llu messages, filled in %.3f s, drained in %.3f s", "at rest",
                      static_cast<unsigned long long>(result.rest->messages), in_seconds(result.rest->fill),
                      in_seconds(result.rest->drain));
    text +=
        report.bytes_at_rest ? formatted(", %.1f B of message memory each\n", bytes_each(report).get<double>()) : "\n";
  }
  text += formatted(
      "%-10s %llu published, %llu delivered, %llu lost, %llu duplicated, %llu reordered, %llu strangers\n", "messages",
      static_cast<unsigned long long>(result.all.published), static_cast<unsigned long long>(result.all.delivered),
      static_cast<unsigned long long>(result.lost), static_cast<unsigned long long>(result.duplicated),
      static_cast<unsigned long long>(result.reordered), static_cast<unsigned long long>(result.strangers));
  text += formatted("%-10s %s\n", "latency", latency_text(result.latency).c_str());
  if (report.plan.confirm_window != 0)
    text += formatted("%-10s %s\n", "confirms", latency_text(result.confirm_latency).c_str());
  if (report.plan.paced())
    text += formatted("%-10s at most %.1f us later than due\n", "sent",
                      in_us(static_cast<uint64_t>(result.send_lag_max.count())));
  if (report.knee) text += formatted("%-10s %.0f/s\n", "knee", *report.knee);
  text += "turns of\n";
  if (report.broker) text += loop_text("  broker", *report.broker);
  text += loop_text("  load", report.load);
  return text;
}

std::string table_head() {
  return formatted("%-34s %11s %11s %6s %9s %9s %9s %9s %12s %12s\n", "", "publish/s", "deliver/s", "lost", "p50 us",
                   "p99 us", "p99.9 us", "max us", "ceiling out", "ceiling in");
}

std::string table_row(const Report& report) {
  const Result& result = report.result;
  if (!result.failure.empty()) return formatted("%-34s FAILED: %s\n", report.label.c_str(), result.failure.c_str());
  const auto& latency = result.latency;
  const auto ceiling = [&](double Ceiling::*half) {
    return report.ceiling ? formatted("%.0f", (*report.ceiling).*half) : std::string("-");
  };
  return formatted("%-34s %11.0f %11.0f %6llu %9.1f %9.1f %9.1f %9.1f %12s %12s%s\n", report.label.c_str(),
                   result.publish_rate(), result.deliver_rate(), static_cast<unsigned long long>(result.lost),
                   in_us(latency.percentile(0.5)), in_us(latency.percentile(0.99)), in_us(latency.percentile(0.999)),
                   in_us(latency.max()), ceiling(&Ceiling::publish_rate).c_str(),
                   ceiling(&Ceiling::deliver_rate).c_str(), result.whole() ? "" : "  NOT WHOLE");
}

}  // namespace talaria::load
