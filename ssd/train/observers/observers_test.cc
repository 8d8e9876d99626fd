#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <filesystem>
#include <limits>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/train/observers/event.pb.h"
#include "ssd/train/observers/event_log.h"
#include "ssd/train/observers/event_records.h"
#include "ssd/train/observers/metrics_log.h"
#include "ssd/train/observers/progress_line.h"

namespace ssd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string NewFolder(const std::string& name) {
  const std::string path = testing::TempDir() + "/" + name;
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

StepRecord RecordOf(int64_t step) {
  StepRecord record;
  record.step = step;
  record.total_steps = 400;
  record.epoch = step / 200.0;
  record.total_epochs = 2;
  record.loss = 3.25;
  record.classification_loss = 2.125;
  record.localization_loss = 1.125;
  record.gradient_norm = 0.1;
  record.learning_rate = 0.001;
  record.images_per_second = 218.4;
  record.data_wait_share = 0.03;
  record.seconds = 12.5;
  record.seconds_left = 3723;
  return record;
}

Metrics SmallMetrics() {
  Metrics metrics;
  metrics.values = {{"AP", 1.0 / 3}, {"AP50", 0.75}, {"APl", std::nullopt}};
  metrics.per_class.resize(2);
  metrics.per_class[0].name = "犬";
  metrics.per_class[0].values = {{"AP", 0.5}};
  metrics.per_class[1].name = "cat";
  metrics.per_class[1].values = {{"AP", std::nullopt}};
  return metrics;
}

EvaluationRecord EvaluationOf(int64_t step, const Metrics& metrics) {
  EvaluationRecord record;
  record.step = step;
  record.epoch = step / 200.0;
  record.metrics = &metrics;
  record.best = true;
  record.seconds = 2.5;
  return record;
}

TEST(Crc32c, GivesTheKnownValues) {
  // RFC 3720, appendix B.4.
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string ascending, descending;
  for (int i = 0; i < 32; ++i) {
    ascending += static_cast<char>(i);
    descending += static_cast<char>(31 - i);
  }
  EXPECT_EQ(Crc32c(ascending), 0x46dd794eu);
  EXPECT_EQ(Crc32c(descending), 0x113fdb5cu);
  // The check value of the CRC catalogues.
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(""), 0u);
}

// Splits a TFRecord file; checks lengths and sums.
std::vector<TensorBoardEvent> ReadEvents(const std::string& path) {
  std::vector<TensorBoardEvent> events;
  const std::string content = *ReadFile(path);
  const auto word = [&](size_t at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) {
      value |= static_cast<uint64_t>(static_cast<unsigned char>(content[at + i])) << (8 * i);
    }
    return value;
  };
  size_t at = 0;
  while (at < content.size()) {
    const size_t length = word(at, 8);
    CHECK_LE(at + 16 + length, content.size());
    EXPECT_EQ(word(at + 8, 4), MaskedCrc32c(content.substr(at, 8)));
    const std::string body = content.substr(at + 12, length);
    EXPECT_EQ(word(at + 12 + length, 4), MaskedCrc32c(body));
    CHECK(events.emplace_back().ParseFromString(body));
    at += 16 + length;
  }
  return events;
}

std::set<std::string> FilesIn(const std::string& folder) {
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.insert(entry.path().string());
  }
  return files;
}

TEST(EventLog, FramesRecordsAsTensorFlowDoes) {
  // Of a file written by TensorFlow's own writer: the first record's header of a 24-byte event.
  const std::string record = FramedRecord(std::string(24, 'x'));
  ASSERT_EQ(record.size(), 8u + 4 + 24 + 4);
  EXPECT_EQ(record.substr(0, 12), std::string("\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22", 12));
}

TEST(EventLog, WritesScalarsAndPictures) {
  const std::string folder = NewFolder("events");
  {
    auto log = *EventLog::Create(folder, 0);
    log->OnStep(RecordOf(20));
    const Metrics metrics = SmallMetrics();
    log->OnEvaluation(EvaluationOf(20, metrics));
    log->AddImage("validation/picture", 20, 3, 4, "png bytes");
    log->OnCheckpoint(20);
    log->OnEnd("done");
  }
  const std::set<std::string> files = FilesIn(folder);
  ASSERT_EQ(files.size(), 1u);
  EXPECT_THAT(*files.begin(), HasSubstr("/events.out.tfevents."));
  const std::vector<TensorBoardEvent> events = ReadEvents(*files.begin());
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].file_version(), "brain.Event:2");
  EXPECT_GT(events[0].wall_time(), 1.6e9);
  EXPECT_EQ(events[1].step(), 20);
  EXPECT_EQ(events[1].summary().value(0).tag(), "train/loss");
  EXPECT_EQ(events[1].summary().value(0).simple_value(), 3.25f);
  std::set<std::string> tags;
  for (const auto& value : events[2].summary().value()) tags.insert(value.tag());
  EXPECT_EQ(tags, (std::set<std::string>{"validation/AP", "validation/AP50",
                                         "validation_class/犬/AP", "timing/evaluation_seconds"}));
  const TensorBoardEvent::Image& image = events[3].summary().value(0).image();
  EXPECT_EQ(image.height(), 3);
  EXPECT_EQ(image.width(), 4);
  EXPECT_EQ(image.encoded_image_string(), "png bytes");
}

TEST(EventLog, AResumedRunStartsANewerFileThatPurges) {
  const std::string folder = NewFolder("resumed_events");
  { auto log = *EventLog::Create(folder, 0); }
  const std::set<std::string> before = FilesIn(folder);
  { auto log = *EventLog::Create(folder, 40); }
  { auto log = *EventLog::Create(folder, 40); }
  const std::set<std::string> after = FilesIn(folder);
  ASSERT_EQ(after.size(), 3u);
  EXPECT_EQ(*after.begin(), *before.begin());
  const std::vector<TensorBoardEvent> events = ReadEvents(*after.rbegin());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].session_log().status(), TensorBoardEvent::SessionLog::START);
  EXPECT_EQ(events[1].step(), 41);  // TensorBoard drops what has this step or a later one
}

TEST(EventLog, ARunKilledBeforeItsFirstCheckpointPurgesAllItsSteps) {
  const std::string folder = NewFolder("repeated_events");
  {
    auto log = *EventLog::Create(folder, 0);
    log->OnStep(RecordOf(1));
  }
  const std::string first = *FilesIn(folder).begin();
  EXPECT_FALSE(ReadEvents(first)[1].has_session_log()) << "a run that begins has nothing to purge";
  {
    auto log = *EventLog::Create(folder, 0);
    log->OnStep(RecordOf(1));
  }
  const std::set<std::string> files = FilesIn(folder);
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(*files.begin(), first);
  const std::vector<TensorBoardEvent> events = ReadEvents(*files.rbegin());
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[1].session_log().status(), TensorBoardEvent::SessionLog::START);
  EXPECT_EQ(events[1].step(), 1);
  EXPECT_EQ(events[2].step(), 1);
}

TEST(EventLog, NamesAFolderItCannotWrite) {
  const auto log = EventLog::Create(testing::TempDir() + "/none", 0);
  EXPECT_EQ(log.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(log.status().message()), HasSubstr("/none/"));
}

TEST(MetricsLog, WritesOneObjectALine) {
  const std::string path = NewFolder("metrics") + "/metrics.jsonl";
  {
    auto log = *MetricsLog::Open(path);
    StepRecord record = RecordOf(20);
    record.gradient_norm = std::numeric_limits<double>::infinity();
    record.localization_loss = std::numeric_limits<double>::quiet_NaN();
    log->OnStep(record);
    // Of a source of batches that counts.
    record = RecordOf(30);
    record.decode_seconds = 0.004;
    record.transform_seconds = 0.0025;
    record.queue_depth = 3.5;
    record.cache_hit_rate = 0.75;
    log->OnStep(record);
    const Metrics metrics = SmallMetrics();
    log->OnEvaluation(EvaluationOf(20, metrics));
    log->OnEnd("done");
  }
  EXPECT_EQ(*ReadFile(path),
            "{\"step\":20,\"epoch\":0.1,\"train.loss\":3.25,\"train.classification_loss\":2.125,"
            "\"train.localization_loss\":null,\"train.gradient_norm\":null,"
            "\"train.learning_rate\":0.001,\"timing\":{\"seconds\":12.5,"
            "\"images_per_second\":218.4,\"data_wait_share\":0.03}}\n"
            "{\"step\":30,\"epoch\":0.15,\"train.loss\":3.25,\"train.classification_loss\":2.125,"
            "\"train.localization_loss\":1.125,\"train.gradient_norm\":0.1,"
            "\"train.learning_rate\":0.001,\"timing\":{\"seconds\":12.5,"
            "\"images_per_second\":218.4,\"data_wait_share\":0.03,\"decode_seconds\":0.004,"
            "\"transform_seconds\":0.0025,\"queue_depth\":3.5,\"cache_hit_rate\":0.75}}\n"
            "{\"step\":20,\"epoch\":0.1,\"validation.AP\":0.3333333333333333,"
            "\"validation.AP50\":0.75,\"validation.APl\":null,\"best\":true,"
            "\"timing\":{\"seconds\":2.5}}\n");
}

TEST(MetricsLog, CutBackLeavesWhatARunThatNeverStoppedWouldHave) {
  const std::string folder = NewFolder("cut_back");
  const std::string whole = folder + "/whole.jsonl", stopped = folder + "/stopped.jsonl";
  const Metrics metrics = SmallMetrics();
  const auto write = [&](const std::string& path, int64_t from, int64_t to) {
    auto log = *MetricsLog::Open(path);
    for (int64_t step = from; step <= to; step += 10) {
      log->OnStep(RecordOf(step));
      if (step % 20 == 0) log->OnEvaluation(EvaluationOf(step, metrics));
    }
  };
  write(whole, 10, 80);
  write(stopped, 10, 60);
  // Killed while it wrote a line.
  const std::string cut = *ReadFile(stopped) + "{\"step\":4";
  ASSERT_TRUE(WriteFileAtomically(stopped, cut).ok());
  ASSERT_TRUE(MetricsLog::CutBack(stopped, 40).ok());
  write(stopped, 50, 80);
  EXPECT_EQ(*ReadFile(stopped), *ReadFile(whole));

  ASSERT_TRUE(MetricsLog::CutBack(stopped, 0).ok());
  EXPECT_EQ(*ReadFile(stopped), "");
  EXPECT_TRUE(MetricsLog::CutBack(folder + "/none.jsonl", 40).ok());
  EXPECT_FALSE(std::filesystem::exists(folder + "/none.jsonl"));
}

TEST(MetricsLog, NamesAFileItCannotWrite) {
  const auto log = MetricsLog::Open(testing::TempDir() + "/none/metrics.jsonl");
  EXPECT_THAT(std::string(log.status().message()), HasSubstr("none/metrics.jsonl"));
}

ProgressLine::Options Terminal(int columns) {
  return {true, [columns] { return columns; }};
}

TEST(ProgressLine, IsPlainWhereThereIsNoTerminal) {
  std::ostringstream out;
  ProgressLine line(out, {});
  line.OnStep(RecordOf(20));
  line.OnStep(RecordOf(40));
  const Metrics metrics = SmallMetrics();
  line.OnEvaluation(EvaluationOf(40, metrics));
  line.OnEnd("done");
  EXPECT_EQ(out.str(),
            "epoch 0.1/2  step 20/400  loss 3.25 (class 2.125, box 1.125)  lr 0.001  218 img/s  "
            "data 3%  1:02:03 left\n"
            "epoch 0.2/2  step 40/400  loss 3.25 (class 2.125, box 1.125)  lr 0.001  218 img/s  "
            "data 3%  1:02:03 left\n"
            "evaluated step 40:  AP 0.3333  AP50 0.7500  APl n/a  (best so far)  in 2.5 s\n"
            "training: done\n");
}

TEST(ProgressLine, RewritesItselfOnATerminalButNothingElse) {
  std::ostringstream out;
  ProgressLine line(out, Terminal(200));
  line.OnStep(RecordOf(20));
  EXPECT_THAT(out.str(), StartsWith("epoch"));
  out.str("");
  line.OnStep(RecordOf(40));
  EXPECT_THAT(out.str(), StartsWith("\x1b[1A\r\x1b[2Kepoch 0.2/2"));
  out.str("");
  LOG(INFO) << "a message";
  line.OnStep(RecordOf(60));
  EXPECT_THAT(out.str(), StartsWith("epoch 0.3/2"));
  out.str("");
  line.OnStep(RecordOf(80));
  EXPECT_THAT(out.str(), StartsWith("\x1b[1A"));
  const Metrics metrics = SmallMetrics();
  line.OnEvaluation(EvaluationOf(80, metrics));
  out.str("");
  line.OnStep(RecordOf(100));
  EXPECT_THAT(out.str(), StartsWith("epoch"));
}

TEST(ProgressLine, FitsTheTerminal) {
  for (const int columns : {200, 100, 80, 60, 40, 20, 5}) {
    std::ostringstream out;
    ProgressLine line(out, Terminal(columns));
    line.OnStep(RecordOf(20));
    EXPECT_LE(out.str().size(), static_cast<size_t>(std::max(columns, 11))) << out.str();
    // The loss and the time left are dropped last.
    EXPECT_EQ(absl::StrContains(out.str(), "loss 3.25"), columns >= 40) << out.str();
    EXPECT_EQ(absl::StrContains(out.str(), "1:02:03 left"), columns >= 40) << out.str();
  }
}

TEST(ProgressLine, SaysSoWhereTheTimeLeftIsUnknown) {
  std::ostringstream out;
  ProgressLine line(out, {});
  StepRecord record = RecordOf(1);
  record.seconds_left = std::numeric_limits<double>::infinity();
  record.images_per_second = 3.21;
  line.OnStep(record);
  EXPECT_THAT(out.str(), HasSubstr("3.2 img/s"));
  EXPECT_THAT(out.str(), HasSubstr("? left"));
  out.str("");
  record.seconds_left = 200000;
  line.OnStep(record);
  EXPECT_THAT(out.str(), HasSubstr("2d 07:33:20 left"));
}

}  // namespace
}  // namespace ssd
