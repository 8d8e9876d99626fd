#include "data/lazy_image.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>
#include <utility>

#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

using Color = cv::Vec3b;

// A rectangle around a smaller one (which may be empty); the pixels between them have one colour.
struct Frame {
  cv::Rect outer;
  cv::Rect inner;
  Color color;
};

// What the operations between two resizes come to. Rectangles are in pixels of the image that the
// stage is given, or of a part of it once they are moved there.
struct Stage {
  cv::Rect view;              // what the stage's result shows
  cv::Rect core;              // the part of the given image that remains visible
  std::vector<Frame> frames;  // the rest of the view, outermost first
  std::vector<const LazyImage::ColorOperation*> colors;  // of the core, in order
  bool flip_x = false;  // the view is mirrored at the end, left to right
  bool flip_y = false;  // or top to bottom
};

// Collects crops, flips and colours, which can be exchanged exactly: a mirrored crop is the crop of
// the mirrored rectangle, and a colour changes a pixel wherever it is.
class StageBuilder {
 public:
  explicit StageBuilder(cv::Size given) : windows_{cv::Rect(cv::Point(), given)} {}

  void Crop(const cv::Rect& rect, const cv::Scalar& fill) {
    const cv::Rect& view = windows_.back();
    const int x = flip_x_ ? view.br().x - rect.br().x : view.x + rect.x;
    const int y = flip_y_ ? view.br().y - rect.br().y : view.y + rect.y;
    windows_.emplace_back(x, y, rect.width, rect.height);
    fills_.push_back({fill, colors_.size()});
  }
  void FlipX() { flip_x_ = !flip_x_; }
  void FlipY() { flip_y_ = !flip_y_; }
  void Recolor(const LazyImage::ColorOperation& operation) { colors_.push_back(&operation); }

  // A pixel of the view has the fill of the last crop whose rectangle reached out of the view
  // before it there, in the colours recorded since. So the view is nested rectangles: the k-th is
  // what all windows from k on show, and lies around the (k-1)-th.
  Stage Build() const {
    Stage stage;
    stage.view = windows_.back();
    stage.colors = colors_;
    stage.flip_x = flip_x_;
    stage.flip_y = flip_y_;
    cv::Rect outer = windows_.back();
    for (size_t k = windows_.size() - 1; k > 0 && !outer.empty(); --k) {
      const cv::Rect inner = outer & windows_[k - 1];
      if (inner != outer) stage.frames.push_back({outer, inner, FillColor(fills_[k - 1])});
      outer = inner;
    }
    stage.core = outer;
    return stage;
  }

 private:
  struct Fill {
    cv::Scalar rgb;
    size_t first_color;  // of those recorded after the crop
  };

  Color FillColor(const Fill& fill) const {
    cv::Mat pixel(1, 1, CV_8UC3);
    pixel.at<Color>(0) =
        Color(cv::saturate_cast<uchar>(fill.rgb[0]), cv::saturate_cast<uchar>(fill.rgb[1]),
              cv::saturate_cast<uchar>(fill.rgb[2]));
    for (size_t i = fill.first_color; i < colors_.size(); ++i) (*colors_[i])(pixel);
    return pixel.at<Color>(0);
  }

  std::vector<cv::Rect> windows_;  // the given image, then the view after each crop
  std::vector<Fill> fills_;        // of each crop
  std::vector<const LazyImage::ColorOperation*> colors_;
  bool flip_x_ = false;
  bool flip_y_ = false;
};

void FillRect(cv::Mat& canvas, const cv::Rect& rect, const Color& color) {
  if (rect.empty()) return;
  Color* const first = canvas.ptr<Color>(rect.y, rect.x);
  std::fill_n(first, rect.width, color);
  for (int y = rect.y + 1; y < rect.br().y; ++y) {
    std::copy_n(first, rect.width, canvas.ptr<Color>(y, rect.x));
  }
}

void PaintFrame(cv::Mat& canvas, const Frame& frame, cv::Point origin) {
  const cv::Rect outer = frame.outer - origin;
  if (frame.inner.empty()) {
    FillRect(canvas, outer, frame.color);
    return;
  }
  const cv::Rect inner = frame.inner - origin;
  FillRect(canvas, {outer.tl(), cv::Point(outer.br().x, inner.y)}, frame.color);
  FillRect(canvas, {cv::Point(outer.x, inner.br().y), outer.br()}, frame.color);
  FillRect(canvas, {outer.x, inner.y, inner.x - outer.x, inner.height}, frame.color);
  FillRect(canvas, {inner.br().x, inner.y, outer.br().x - inner.br().x, inner.height}, frame.color);
}

void Recolor(const Stage& stage, cv::Mat& rgb) {
  const uchar* const memory = rgb.data;
  for (const LazyImage::ColorOperation* color : stage.colors) (*color)(rgb);
  CHECK(rgb.data == memory) << "a colour operation moved the image instead of changing it in place";
}

// The stage's result in `canvas`, which is CV_8UC3 of the view's size.
void Paint(const cv::Mat& given, const Stage& stage, cv::Mat& canvas) {
  if (stage.frames.empty() && stage.colors.empty()) {
    for (int y = 0; y < canvas.rows; ++y) {
      const Color* const row = given.ptr<Color>(stage.view.y + y, stage.view.x);
      Color* const shown = canvas.ptr<Color>(stage.flip_y ? canvas.rows - 1 - y : y);
      if (stage.flip_x) {
        std::reverse_copy(row, row + canvas.cols, shown);
      } else {
        std::copy(row, row + canvas.cols, shown);
      }
    }
    return;
  }
  for (const Frame& frame : stage.frames) PaintFrame(canvas, frame, stage.view.tl());
  if (!stage.core.empty()) {
    cv::Mat core = canvas(stage.core - stage.view.tl());
    given(stage.core).copyTo(core);
    Recolor(stage, core);
  }
  for (int y = 0; stage.flip_x && y < canvas.rows; ++y) {
    std::reverse(canvas.ptr<Color>(y), canvas.ptr<Color>(y) + canvas.cols);
  }
  for (int y = 0; stage.flip_y && y < canvas.rows / 2; ++y) {
    Color* const row = canvas.ptr<Color>(y);
    std::swap_ranges(row, row + canvas.cols, canvas.ptr<Color>(canvas.rows - 1 - y));
  }
}

// Memory of this thread for an image that lives until the next call with the same slot: a fresh
// allocation of this size costs more (page faults) than what is done with it. Very large ones are
// not kept.
cv::Mat Scratch(int slot, cv::Size size) {
  constexpr size_t kMaxBytesKept = size_t{32} << 20;
  static thread_local std::vector<uchar> memory[2];
  const size_t bytes = size_t{3} * size.width * size.height;
  if (bytes > kMaxBytesKept) return cv::Mat(size, CV_8UC3);
  if (memory[slot].size() < bytes) memory[slot].resize(bytes);
  return cv::Mat(size, CV_8UC3, memory[slot].data());
}

cv::Size ToCv(ImageSize size) {
  return cv::Size(static_cast<int>(size.width), static_cast<int>(size.height));
}

// The pixels of the stage's core.
absl::StatusOr<DecodedRegion> DecodeCore(const ImageSource& source, const Stage& stage,
                                         int max_reduction) {
  if (stage.core.empty()) return DecodedRegion();  // nothing of the image is seen
  SSD_ASSIGN_OR_RETURN(DecodedRegion region, source.DecodeRegion(stage.core, max_reduction));
  CHECK(region.pixels.type() == CV_8UC3 && region.reduction <= max_reduction &&
        region.pixels.size() * region.reduction == region.area.size() &&
        (region.area & stage.core) == stage.core)
      << "a source decoded another region than was asked for";
  return region;
}

// The stage in pixels of a part of the given image.
void MoveTo(cv::Point origin, Stage& stage) {
  stage.view -= origin;
  stage.core -= origin;
  for (Frame& frame : stage.frames) {
    frame.outer -= origin;
    frame.inner -= origin;
  }
}

// One axis of a stage on an image of which each pixel stands for `reduction` of the stage's.
// Positions along the view are fractions of the image's pixels; the canvas has whole ones, which
// hold the view.
class ReducedAxis {
 public:
  ReducedAxis(int view_begin, int view_end, int area_begin, int reduction)
      : view_begin_(view_begin),
        view_end_(view_end),
        area_begin_(area_begin),
        reduction_(reduction),
        canvas_begin_(static_cast<int>(std::floor(Position(view_begin)))),
        canvas_end_(static_cast<int>(std::ceil(Position(view_end)))) {}

  int canvas_begin() const { return canvas_begin_; }
  int canvas_end() const { return canvas_end_; }

  // Where an edge of the stage lies, to the nearest pixel; the view's own edges are the canvas's.
  int Nearest(int edge) const {
    if (edge <= view_begin_) return canvas_begin_;
    if (edge >= view_end_) return canvas_end_;
    return std::clamp(static_cast<int>(std::lround(Position(edge))), canvas_begin_, canvas_end_);
  }

  // The view's first and last position in the canvas, which is mirrored if so asked.
  std::pair<double, double> ViewInCanvas(bool is_mirrored) const {
    const double begin = Position(view_begin_) - canvas_begin_;
    const double end = Position(view_end_) - canvas_begin_;
    const int size = canvas_end_ - canvas_begin_;
    return is_mirrored ? std::make_pair(size - end, size - begin) : std::make_pair(begin, end);
  }

 private:
  double Position(int edge) const { return static_cast<double>(edge - area_begin_) / reduction_; }

  int view_begin_, view_end_, area_begin_, reduction_, canvas_begin_, canvas_end_;
};

// How much less can be decoded of an image whose view is resized to `size`: the largest power of 2
// that leaves no fewer pixels than that.
int UsefulReduction(const Stage& stage, ImageSize size, int max_reduction) {
  constexpr int kMostCanvas = 32000;  // cv::warpAffine counts pixels in 16 bits
  const cv::Rect& view = stage.view;
  int reduction = 1;
  while (2 * reduction <= max_reduction && view.width >= 2 * reduction * size.width &&
         view.height >= 2 * reduction * size.height) {
    reduction *= 2;
  }
  return std::max(view.width, view.height) / reduction <= kMostCanvas ? reduction : 1;
}

// The stage and the resize after it on a reduced image, in one: the resize takes the view out of a
// canvas, at fractions of its pixels, so that what is shown stays in its place.
void PaintReduced(const DecodedRegion& region, const Stage& stage, int interpolation, int slot,
                  cv::Mat& resized) {
  const ReducedAxis x(stage.view.x, stage.view.br().x, region.area.x, region.reduction);
  const ReducedAxis y(stage.view.y, stage.view.br().y, region.area.y, region.reduction);
  const auto nearest = [&](const cv::Rect& rect) {
    return cv::Rect(cv::Point(x.Nearest(rect.x), y.Nearest(rect.y)),
                    cv::Point(x.Nearest(rect.br().x), y.Nearest(rect.br().y)));
  };
  Stage reduced = stage;
  reduced.view = cv::Rect(cv::Point(x.canvas_begin(), y.canvas_begin()),
                          cv::Point(x.canvas_end(), y.canvas_end()));
  reduced.core = nearest(stage.core) & cv::Rect(cv::Point(), region.pixels.size());
  for (Frame& frame : reduced.frames) {
    frame.outer = nearest(frame.outer);
    frame.inner = frame.inner.empty() ? cv::Rect() : nearest(frame.inner);
  }

  cv::Mat canvas;
  if (reduced.frames.empty() && reduced.colors.empty() && !reduced.flip_x && !reduced.flip_y) {
    canvas = region.pixels(reduced.view);
  } else {
    canvas = Scratch(slot, reduced.view.size());
    Paint(region.pixels, reduced, canvas);
  }
  const auto [left, right] = x.ViewInCanvas(stage.flip_x);
  const auto [top, bottom] = y.ViewInCanvas(stage.flip_y);
  const double step_x = (right - left) / resized.cols;
  const double step_y = (bottom - top) / resized.rows;
  // From centres of resized pixels to centres of the canvas's.
  const cv::Matx23d to_canvas(step_x, 0, left + step_x / 2 - 0.5,  //
                              0, step_y, top + step_y / 2 - 0.5);
  // What is left to shrink is below 2, which needs no mean over an area.
  const int filter = interpolation == cv::INTER_AREA ? cv::INTER_LINEAR : interpolation;
  cv::warpAffine(canvas, resized, to_canvas, resized.size(), filter | cv::WARP_INVERSE_MAP,
                 cv::BORDER_REPLICATE);
}

}  // namespace

absl::StatusOr<DecodedRegion> ImageSource::DecodeRegion(const cv::Rect&, int) const {
  SSD_ASSIGN_OR_RETURN(cv::Mat pixels, Decode());
  CHECK(pixels.type() == CV_8UC3 && pixels.size() == ToCv(size()));
  const cv::Rect whole(cv::Point(), pixels.size());
  return DecodedRegion{std::move(pixels), whole, 1};
}

LazyImage::LazyImage(std::shared_ptr<const ImageSource> source)
    : source_(std::move(source)), size_(source_->size()) {}

void LazyImage::ReplaceSource(std::shared_ptr<const ImageSource> source) {
  CHECK(source_ != nullptr && source->size() == source_->size());
  source_ = std::move(source);
}

void LazyImage::Crop(const cv::Rect& rect, const cv::Scalar& fill) {
  CHECK(!rect.empty());
  operations_.push_back(CropTo{rect, fill});
  size_ = {rect.height, rect.width};
}

void LazyImage::Resize(ImageSize size, int interpolation) {
  CHECK(size.height > 0 && size.width > 0);
  if (size == size_) return;
  operations_.push_back(ResizeTo{size, interpolation});
  size_ = size;
}

void LazyImage::FlipHorizontally() { operations_.push_back(FlipX{}); }

void LazyImage::FlipVertically() { operations_.push_back(FlipY{}); }

void LazyImage::Recolor(ColorOperation operation) { operations_.push_back(std::move(operation)); }

absl::StatusOr<cv::Mat> LazyImage::Render() const {
  cv::Mat image(ToCv(size_), CV_8UC3);
  SSD_RETURN_IF_ERROR(RenderTo(image));
  return image;
}

absl::Status LazyImage::RenderTo(cv::Mat& destination, int max_reduction) const {
  CHECK(source_ != nullptr) << "an image without a source";
  CHECK(destination.type() == CV_8UC3 && destination.size() == ToCv(size_));
  cv::Mat image;  // once decoded
  cv::Size image_size = ToCv(source_->size());
  bool is_decoded = false;

  int slot = 0;
  auto operation = operations_.begin();
  while (true) {
    StageBuilder builder(image_size);
    const ResizeTo* resize = nullptr;
    for (; operation != operations_.end() && resize == nullptr; ++operation) {
      if (const auto* crop = std::get_if<CropTo>(&*operation)) {
        builder.Crop(crop->rect, crop->fill);
      } else if (std::holds_alternative<FlipX>(*operation)) {
        builder.FlipX();
      } else if (std::holds_alternative<FlipY>(*operation)) {
        builder.FlipY();
      } else if (const auto* color = std::get_if<ColorOperation>(&*operation)) {
        builder.Recolor(*color);
      } else {
        resize = &std::get<ResizeTo>(*operation);
      }
    }
    Stage stage = builder.Build();
    const bool is_last = operation == operations_.end();
    if (!is_decoded) {
      is_decoded = true;
      const int useful =
          resize == nullptr ? 1 : UsefulReduction(stage, resize->size, max_reduction);
      SSD_ASSIGN_OR_RETURN(const DecodedRegion region, DecodeCore(*source_, stage, useful));
      if (region.reduction > 1) {
        cv::Mat resized = is_last ? destination : Scratch(1 - slot, ToCv(resize->size));
        PaintReduced(region, stage, resize->interpolation, slot, resized);
        if (is_last) return absl::OkStatus();
        image = resized;
        image_size = resized.size();
        continue;
      }
      image = region.pixels;
      MoveTo(region.area.tl(), stage);
    }
    if (resize == nullptr) {
      Paint(image, stage, destination);
      return absl::OkStatus();
    }
    if (stage.frames.empty() && stage.colors.empty() && !stage.flip_x && !stage.flip_y) {
      image = image(stage.view);
    } else {
      cv::Mat canvas = Scratch(slot, stage.view.size());
      slot = 1 - slot;
      Paint(image, stage, canvas);
      image = canvas;
    }
    cv::Mat resized = is_last ? destination : Scratch(slot, ToCv(resize->size));
    slot = 1 - slot;
    cv::resize(image, resized, resized.size(), 0, 0, resize->interpolation);
    if (is_last) return absl::OkStatus();
    image = resized;
    image_size = resized.size();
  }
}

}  // namespace ssd
