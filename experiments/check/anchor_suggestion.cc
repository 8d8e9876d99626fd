#include "experiments/check/anchor_suggestion.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "experiments/check/anchor_index.h"
#include "ssd/anchors/anchor_generator.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/text_proto.h"

namespace ssd {
namespace {

constexpr size_t kMostSizes = 20000;  // that are clustered; more say the same
constexpr int kMostRounds = 40;

// Pixels of the view.
struct Size {
  double width = 0;
  double height = 0;
};

// One box of the cells of a level.
struct Cluster {
  size_t level = 0;
  Size size;
};

// Overlap of two intervals whose centres are `distance` apart.
double Overlap(double a, double b, double distance) {
  return std::max(std::min({a, b, (a + b) / 2 - distance}), 0.0);
}

// `cell`: what the cluster's level has its centres apart.
double Similarity(const Size& truth, const Cluster& cluster, const Size& cell) {
  const Size& box = cluster.size;
  const double intersection = Overlap(truth.width, box.width, cell.width / 4) *
                              Overlap(truth.height, box.height, cell.height / 4);
  return intersection / (truth.width * truth.height + box.width * box.height - intersection);
}

// Sizes of the truths to learn, evenly thinned.
std::vector<Size> SizesOf(const MatchedTruths& matched, ImageSize input) {
  std::vector<Size> all;
  for (const ViewTruth& truth : matched.truths) {
    if (!truth.is_learnt()) continue;
    all.push_back(
        {static_cast<double>(truth.box.x1 - truth.box.x0) * static_cast<double>(input.width),
         static_cast<double>(truth.box.y1 - truth.box.y0) * static_cast<double>(input.height)});
  }
  if (all.size() <= kMostSizes) return all;
  std::vector<Size> some;
  for (size_t i = 0; i < kMostSizes; ++i) some.push_back(all[i * all.size() / kMostSizes]);
  return some;
}

// Truths by area make the levels, those of a level by shape its boxes; all in equal shares.
std::vector<Cluster> FirstClusters(std::vector<Size> sizes, absl::Span<const int64_t> per_cell) {
  std::stable_sort(sizes.begin(), sizes.end(), [](const Size& a, const Size& b) {
    return a.width * a.height < b.width * b.height;
  });
  int64_t total = 0;
  for (const int64_t count : per_cell) total += count;
  const auto place = [&](int64_t clusters) {
    return static_cast<size_t>(clusters) * sizes.size() / static_cast<size_t>(total);
  };
  std::vector<Cluster> clusters;
  int64_t before = 0;
  for (size_t level = 0; level < per_cell.size(); ++level) {
    const size_t begin = std::min(place(before), sizes.size() - 1);
    const size_t end = std::max(place(before + per_cell[level]), begin + 1);
    before += per_cell[level];
    std::vector<Size> shapes(sizes.begin() + static_cast<int64_t>(begin),
                             sizes.begin() + static_cast<int64_t>(end));
    std::stable_sort(shapes.begin(), shapes.end(), [](const Size& a, const Size& b) {
      return a.width * b.height < b.width * a.height;
    });
    for (int64_t i = 0; i < per_cell[level]; ++i) {
      const size_t middle =
          static_cast<size_t>(2 * i + 1) * shapes.size() / static_cast<size_t>(2 * per_cell[level]);
      clusters.push_back({level, shapes[middle]});
    }
  }
  return clusters;
}

// Lloyd's rounds; the best of the rounds' clusters.
std::vector<Cluster> FitClusters(const std::vector<Size>& sizes, const std::vector<Size>& cells,
                                 absl::Span<const int64_t> per_cell) {
  std::vector<Cluster> clusters = FirstClusters(sizes, per_cell);
  std::vector<Cluster> best = clusters;
  double best_sum = -1;
  std::vector<size_t> nearest(sizes.size(), clusters.size());
  for (int round = 0; round < kMostRounds; ++round) {
    bool has_changed = false;
    double sum = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      size_t winner = 0;
      double highest = -1;
      for (size_t c = 0; c < clusters.size(); ++c) {
        const double similarity = Similarity(sizes[i], clusters[c], cells[clusters[c].level]);
        if (similarity <= highest) continue;
        highest = similarity;
        winner = c;
      }
      sum += highest;
      has_changed = has_changed || winner != nearest[i];
      nearest[i] = winner;
    }
    if (sum > best_sum) {
      best_sum = sum;
      best = clusters;
    }
    if (!has_changed) break;
    std::vector<Size> sums(clusters.size());
    std::vector<int64_t> counts(clusters.size(), 0);
    for (size_t i = 0; i < sizes.size(); ++i) {
      sums[nearest[i]].width += sizes[i].width;
      sums[nearest[i]].height += sizes[i].height;
      ++counts[nearest[i]];
    }
    for (size_t c = 0; c < clusters.size(); ++c) {
      if (counts[c] == 0) continue;  // a box that nothing is nearest to stays
      const auto count = static_cast<double>(counts[c]);
      clusters[c].size = {sums[c].width / count, sums[c].height / count};
    }
  }
  std::stable_sort(best.begin(), best.end(), [](const Cluster& a, const Cluster& b) {
    if (a.level != b.level) return a.level < b.level;
    return a.size.width * a.size.height < b.size.width * b.size.height;
  });
  return best;
}

std::string ConfigText(const std::vector<Cluster>& clusters, absl::Span<const FeatureSpec> levels) {
  std::string text = "anchor_generator {\n  grid {\n    centers: EVEN\n";
  size_t c = 0;
  for (size_t level = 0; level < levels.size(); ++level) {
    absl::StrAppendFormat(&text, "    level {  # %dx%d cells\n", levels[level].height,
                          levels[level].width);
    // Where truths have fewer sizes than a level has boxes, clusters come out alike.
    std::set<std::string> written;
    for (; c < clusters.size() && clusters[c].level == level; ++c) {
      const Size& size = clusters[c].size;
      const double ratio = std::sqrt(size.width / size.height);
      const std::string boxes =
          absl::StrFormat("      boxes { scale: %.4g ratio { width: %.3g height: %.3g } }\n",
                          std::sqrt(size.width * size.height), ratio, 1 / ratio);
      if (written.insert(boxes).second) absl::StrAppend(&text, boxes);
    }
    absl::StrAppend(&text, "    }\n");
  }
  absl::StrAppend(&text, "  }\n}\n");
  return text;
}

// The generator that `config` writes down, without the field's name and braces around it.
absl::StatusOr<std::unique_ptr<AnchorGenerator>> GeneratorOf(const std::string& config,
                                                             size_t num_levels) {
  const size_t begin = config.find('{') + 1;
  const size_t end = config.rfind('}');
  AnchorGeneratorConfig parsed;
  SSD_RETURN_IF_ERROR(
      ParseTextProto(config.substr(begin, end - begin), "suggested anchors", parsed));
  return AnchorGeneratorRegistry::Get().Create(parsed, {static_cast<int64_t>(num_levels)});
}

}  // namespace

absl::StatusOr<AnchorSuggestion> SuggestAnchors(const MatchedTruths& matched,
                                                absl::Span<const FeatureSpec> levels,
                                                absl::Span<const int64_t> per_cell,
                                                ImageSize input) {
  const std::vector<Size> sizes = SizesOf(matched, input);
  if (sizes.empty()) return absl::NotFoundError("there is no truth to fit anchors to");
  AnchorSuggestion suggestion;
  std::vector<Size> cells;
  for (const FeatureSpec& level : levels) {
    cells.push_back({static_cast<double>(input.width) / static_cast<double>(level.width),
                     static_cast<double>(input.height) / static_cast<double>(level.height)});
  }
  suggestion.config = ConfigText(FitClusters(sizes, cells, per_cell), levels);

  // What it gains is that of the text, whose numbers are rounded, on the real maps.
  SSD_ASSIGN_OR_RETURN(const std::unique_ptr<AnchorGenerator> generator,
                       GeneratorOf(suggestion.config, levels.size()));
  SSD_ASSIGN_OR_RETURN(const Anchors anchors, generator->Generate(levels, input));
  const AnchorIndex index(anchors, levels, generator->AnchorsPerCell());
  suggestion.anchors = index.num_anchors();
  std::vector<float> best(matched.truths.size());
  constexpr int64_t kGrain = 256;
  at::parallel_for(0, static_cast<int64_t>(best.size()), kGrain, [&](int64_t begin, int64_t end) {
    std::vector<float> level_iou(levels.size());
    for (int64_t t = begin; t < end; ++t) {
      best[t] = index.Find(matched.truths[t].box, level_iou.data()).iou;
    }
  });
  for (int i = 0; i < kSizeClasses; ++i) suggestion.sizes[i].name = kSizeClassNames[i];
  for (size_t t = 0; t < best.size(); ++t) {
    if (!matched.truths[t].is_learnt()) continue;
    suggestion.all.AddBest(best[t]);
    suggestion.sizes[matched.truths[t].size_class].AddBest(best[t]);
  }
  return suggestion;
}

}  // namespace ssd
