// Latency percentiles against rate, as a picture: rates to the right, microseconds upwards in powers of ten.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdarg>
#include <cstdio>

#include "load/report.h"

namespace talaria::load {
namespace {

constexpr double width = 960, height = 560;
constexpr double left = 90, right = 930, top = 60, bottom = 490;

struct Line {
  const char* name;
  const char* color;
  double share;
};
constexpr std::array lines = {
    Line{"p50", "#1b6ca8", 0.5},
    Line{"p99", "#2a9d4e", 0.99},
    Line{"p99.9", "#d9822b", 0.999},
    Line{"p99.99", "#b5473c", 0.9999},
};

__attribute__((format(printf, 2, 3))) void add(std::string& to, const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  const int size = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  to.append(text, static_cast<size_t>(std::clamp(size, 0, static_cast<int>(sizeof text) - 1)));
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

double microseconds(const Report& report, double share) {
  return std::max(0.1, static_cast<double>(report.result.latency.percentile(share)) / 1000);
}

// 1, 2 or 5 times a power of ten, about a sixth of the greatest.
double step_for(double greatest) {
  const double raw = greatest / 6;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (raw <= factor * power) return factor * power;
  return 10 * power;
}

class Axes {
 public:
  explicit Axes(std::span<const Report* const> points) {
    double lowest = 1e12, highest = 0;
    for (const Report* report : points) {
      rate_max_ = std::max(rate_max_, report->plan.rate);
      for (const Line& line : lines) {
        lowest = std::min(lowest, microseconds(*report, line.share));
        highest = std::max(highest, microseconds(*report, line.share));
      }
    }
    low_ = std::floor(std::log10(lowest));
    high_ = std::max(low_ + 1, std::ceil(std::log10(highest)));
    rate_max_ *= 1.05;
  }
  double x(double rate) const { return left + (right - left) * rate / rate_max_; }
  double y(double us) const { return bottom - (bottom - top) * (std::log10(us) - low_) / (high_ - low_); }

  void draw(std::string& svg) const {
    for (double decade = low_; decade <= high_; decade++) {
      const double at = y(std::pow(10, decade));
      add(svg, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", left, at, right, at);
      add(svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g us</text>\n", left - 8, at + 4,
          std::pow(10, decade));
    }
    const double step = step_for(rate_max_);
    for (double rate = 0; rate <= rate_max_; rate += step) {
      add(svg, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#eee\"/>\n", x(rate), top, x(rate),
          bottom);
      add(svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.0f</text>\n", x(rate), bottom + 20, rate);
    }
    add(svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">messages a second</text>\n", (left + right) / 2,
        bottom + 44);
  }

 private:
  double rate_max_ = 1;
  double low_ = 0, high_ = 1;  // powers of ten of a microsecond
};

}  // namespace

std::string to_svg(std::span<const Report> reports, const std::string& title) {
  std::vector<const Report*> points;
  for (const Report& report : reports)
    if (report.plan.paced() && report.result.latency.total() != 0) points.push_back(&report);
  std::sort(points.begin(), points.end(), [](auto* a, auto* b) { return a->plan.rate < b->plan.rate; });

  std::string svg;
  add(svg,
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
      "font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
      width, height, width, height);
  svg += "<text x=\"90\" y=\"32\" font-size=\"17\">" + escaped(title) + "</text>\n";
  if (points.empty()) {
    svg += "<text x=\"90\" y=\"100\">no paced run was measured</text>\n</svg>\n";
    return svg;
  }

  const Axes axes(points);
  axes.draw(svg);
  double legend = left;
  for (const Line& line : lines) {
    add(svg, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", line.color);
    for (const Report* report : points)
      add(svg, "%.1f,%.1f ", axes.x(report->plan.rate), axes.y(microseconds(*report, line.share)));
    svg += "\"/>\n";
    for (const Report* report : points)
      add(svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", axes.x(report->plan.rate),
          axes.y(microseconds(*report, line.share)), line.color);
    add(svg, "<circle cx=\"%.1f\" cy=\"48\" r=\"4\" fill=\"%s\"/><text x=\"%.1f\" y=\"52\">%s</text>\n", legend + 4,
        line.color, legend + 14, line.name);
    legend += 80;
  }
  // A run that lost its measure: what was asked for and what was delivered differ, or messages are missing.
  for (const Report* report : points)
    if (!report->result.whole())
      add(svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" fill=\"red\">not whole</text>\n",
          axes.x(report->plan.rate), top + 14);
  const auto with_knee =
      std::find_if(points.begin(), points.end(), [](auto* report) { return report->knee.has_value(); });
  if (with_knee != points.end() && *(*with_knee)->knee > 0) {
    const double at = axes.x(*(*with_knee)->knee);
    add(svg, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#888\" stroke-dasharray=\"4 4\"/>\n", at,
        top, at, bottom);
    add(svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">knee %.0f/s</text>\n", at - 6, top + 30,
        *(*with_knee)->knee);
  }
  svg += "</svg>\n";
  return svg;
}

}  // namespace talaria::load
