#include "data/lazy_image.h"

#include <algorithm>
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
// stage is given.
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

}  // namespace

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

absl::Status LazyImage::RenderTo(cv::Mat& destination) const {
  CHECK(source_ != nullptr) << "an image without a source";
  CHECK(destination.type() == CV_8UC3 && destination.size() == ToCv(size_));
  SSD_ASSIGN_OR_RETURN(cv::Mat image, source_->Decode());
  CHECK(image.type() == CV_8UC3 && image.size() == ToCv(source_->size()));

  int slot = 0;
  auto operation = operations_.begin();
  while (true) {
    StageBuilder builder(image.size());
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
    const Stage stage = builder.Build();
    const bool is_last = operation == operations_.end();
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
  }
}

}  // namespace ssd
