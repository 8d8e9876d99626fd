#include "data/lmdb_file.h"

#include <fcntl.h>
#include <lmdb.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

constexpr MDB_dbi kMainTable = 1;  // LMDB's number of the table without a name

absl::Status DamagedError(absl::string_view path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what, "; make or copy the file again"));
}

// The error for what an LMDB function returned.
absl::Status LmdbError(int code, absl::string_view what, absl::string_view path) {
  switch (code) {
    case MDB_CORRUPTED:
    case MDB_INVALID:
    case MDB_PAGE_NOTFOUND:
    case MDB_VERSION_MISMATCH:
      return DamagedError(path, mdb_strerror(code));
    case MDB_MAP_FULL:
      return FileError(ENOSPC, what, path);
    default:
      if (code > 0) return FileError(code, what, path);
      return absl::InternalError(absl::StrCat(path, ": ", what, ": ", mdb_strerror(code)));
  }
}

MDB_val ValueOf(absl::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }

// Checks an LMDB file's structure (lmdb.h and mdb.c of LMDB 0.9, format 1): two meta pages, of
// which the later one counts, then a tree of branch and leaf pages, and pages of values too long
// for a leaf. Numbers are in the machine's own byte order.
class LmdbCheck {
 public:
  LmdbCheck(std::string path, int file, uint64_t file_size)
      : path_(std::move(path)), file_(file), file_size_(file_size) {}

  absl::Status Run() {
    constexpr size_t kMetaBytes = kPageHeader + kMetaSize;
    page_.resize(kMetaBytes);
    SSD_RETURN_IF_ERROR(ReadAt(0, "no packed dataset"));
    if (Number<uint32_t>(kPageHeader) != kMagic) return Damaged("no packed dataset");
    if (Number<uint32_t>(kPageHeader + 4) != kFormat) {
      return Damaged("an LMDB file of another version or machine");
    }
    page_size_ = Number<uint32_t>(kFirstTable);
    constexpr uint64_t kSmallestPage = 512, kLargestPage = 32768;
    if (page_size_ < kSmallestPage || page_size_ > kLargestPage ||
        (page_size_ & (page_size_ - 1)) != 0) {
      return Damaged(absl::StrCat("an LMDB file with pages of ", page_size_, " bytes"));
    }
    // The one that LMDB takes: of the later transaction, the first of two equal ones.
    std::vector<char> latest;
    uint64_t latest_transaction = 0;
    for (uint64_t meta = 0; meta < 2; ++meta) {
      SSD_RETURN_IF_ERROR(ReadAt(meta * page_size_, "truncated"));
      if ((Number<uint16_t>(kFlags) & kMetaPage) == 0 || Number<uint32_t>(kPageHeader) != kMagic ||
          Number<uint32_t>(kPageHeader + 4) != kFormat ||
          Number<uint32_t>(kFirstTable) != page_size_ ||
          (Number<uint16_t>(kFirstTable + 4) & MDB_FIXEDMAP) != 0) {
        return Damaged("damaged LMDB file, in its header");
      }
      const uint64_t transaction = Number<uint64_t>(kTransaction);
      if (latest.empty() || transaction > latest_transaction) {
        latest = page_;
        latest_transaction = transaction;
      }
    }
    page_ = latest;
    last_page_ = Number<uint64_t>(kLastPage);
    pages_ = file_size_ / page_size_;
    constexpr uint64_t kNoPage = ~uint64_t{0};
    const uint64_t root = Number<uint64_t>(kMainTableMeta + 40);
    if (root == kNoPage) return Damaged("an empty LMDB file");
    if (Number<uint16_t>(kMainTableMeta + 4) != 0) {
      return Damaged("an LMDB file with a table of another kind");
    }
    page_.resize(page_size_);
    return CheckTree(root);
  }

 private:
  // Offsets in a page.
  static constexpr size_t kFlags = 10, kLower = 12, kUpper = 14, kPageHeader = 16;
  static constexpr size_t kNodeHeader = 8;
  static constexpr uint16_t kBranch = 1, kLeaf = 2, kMetaPage = 8;
  static constexpr uint16_t kLongValue = 1;  // of nodes
  // Of a meta page: magic, format, address, map size, the tables of free pages and of data, last
  // page, transaction.
  static constexpr size_t kTableSize = 48, kMetaSize = 24 + 2 * kTableSize + 16;
  static constexpr size_t kFirstTable = kPageHeader + 24;
  static constexpr size_t kMainTableMeta = kFirstTable + kTableSize;
  static constexpr size_t kLastPage = kMainTableMeta + kTableSize, kTransaction = kLastPage + 8;
  static constexpr uint32_t kMagic = 0xBEEFC0DE, kFormat = 1;

  absl::Status Damaged(absl::string_view what) const { return DamagedError(path_, what); }
  absl::Status DamagedPage(uint64_t page) const {
    return Damaged(absl::StrCat("damaged LMDB file, page ", page));
  }

  absl::Status MissingPage(uint64_t page) const {
    if (page > last_page_) return DamagedPage(page);
    return Damaged(absl::StrCat("truncated: ends at byte ", file_size_, ", before the data of ",
                                "page ", page, " of ", last_page_));
  }

  // Fills page_; `what` is wrong with a file that ends before.
  absl::Status ReadAt(uint64_t offset, absl::string_view what) {
    size_t done = 0;
    while (done < page_.size()) {
      const ssize_t got =
          pread(file_, page_.data() + done, page_.size() - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return FileError(errno, "cannot read", path_);
      if (got == 0) return Damaged(what);
      done += static_cast<size_t>(got);
    }
    return absl::OkStatus();
  }

  // A number in page_, which is long enough.
  template <typename T>
  T Number(size_t at) const {
    T value;
    std::memcpy(&value, page_.data() + at, sizeof(T));
    return value;
  }

  absl::Status CheckTree(uint64_t root) {
    constexpr int kDeepest = 32;                                  // LMDB's stack
    std::vector<std::pair<uint64_t, int>> waiting = {{root, 1}};  // page, depth
    uint64_t visited = 0;
    while (!waiting.empty()) {
      const auto [page, depth] = waiting.back();
      waiting.pop_back();
      if (page >= pages_) return MissingPage(page);
      // Once as many pages as the file has have been seen, some were twice.
      if (depth > kDeepest || ++visited > pages_) return DamagedPage(page);
      SSD_RETURN_IF_ERROR(ReadAt(page * page_size_, "truncated"));
      const uint16_t flags = Number<uint16_t>(kFlags);
      const size_t lower = Number<uint16_t>(kLower), upper = Number<uint16_t>(kUpper);
      const bool is_branch = flags == kBranch;
      if ((!is_branch && flags != kLeaf) || lower < kPageHeader || lower > upper ||
          upper > page_size_ || lower % 2 != 0) {
        return DamagedPage(page);
      }
      const size_t nodes = (lower - kPageHeader) / 2;
      if (nodes < (is_branch ? size_t{2} : size_t{1})) return DamagedPage(page);
      for (size_t i = 0; i < nodes; ++i) {
        const size_t node = Number<uint16_t>(kPageHeader + 2 * i);
        if (node < upper || node % 2 != 0 || node + kNodeHeader > page_size_) {
          return DamagedPage(page);
        }
        const uint64_t low = Number<uint16_t>(node), high = Number<uint16_t>(node + 2);
        const uint64_t node_flags = Number<uint16_t>(node + 4);
        const size_t value = node + kNodeHeader + Number<uint16_t>(node + 6);  // after the key
        if (value > page_size_) return DamagedPage(page);
        const uint64_t number = low | high << 16;  // a branch's page, a leaf's length of value
        if (is_branch) {
          waiting.emplace_back(number | node_flags << 32, depth + 1);
        } else if (node_flags == kLongValue) {
          if (value + sizeof(uint64_t) > page_size_) return DamagedPage(page);
          const uint64_t first = Number<uint64_t>(value);
          const uint64_t length = (kPageHeader - 1 + number) / page_size_ + 1;
          if (first >= pages_ || pages_ - first < length) return MissingPage(first);
        } else if (node_flags != 0 || page_size_ - value < number) {
          return DamagedPage(page);
        }
      }
    }
    return absl::OkStatus();
  }

  const std::string path_;
  const int file_;
  const uint64_t file_size_;
  uint64_t page_size_ = 0;
  uint64_t last_page_ = 0;  // that was ever used
  uint64_t pages_ = 0;      // that are there
  std::vector<char> page_;
};

// Returns the file's size.
absl::StatusOr<uint64_t> CheckFile(const std::string& path) {
  if (std::error_code ignored; std::filesystem::is_directory(path, ignored)) {
    return FileError(EISDIR, "cannot read", path);
  }
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return FileError(errno, "cannot read", path);
  const auto close_file = absl::MakeCleanup([file] { close(file); });
  const off_t size = lseek(file, 0, SEEK_END);
  if (size < 0) return FileError(errno, "cannot read", path);
  SSD_RETURN_IF_ERROR(LmdbCheck(path, file, static_cast<uint64_t>(size)).Run());
  return static_cast<uint64_t>(size);
}

}  // namespace

absl::StatusOr<std::unique_ptr<LmdbFile>> LmdbFile::Open(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const uint64_t size, CheckFile(path));
  MDB_env* env = nullptr;
  if (const int code = mdb_env_create(&env); code != 0) {
    return LmdbError(code, "cannot read", path);
  }
  std::unique_ptr<LmdbFile> file(new LmdbFile(path, env));
  // The writer's map is as large as its disk; a reader's need not be.
  int code = mdb_env_set_mapsize(env, size);
  constexpr unsigned kFlags = MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK;
  if (code == 0) code = mdb_env_open(env, path.c_str(), kFlags, 0);
  // Opening the table sets its order of keys, which every later transaction shares.
  MDB_txn* transaction = nullptr;
  if (code == 0) code = mdb_txn_begin(env, nullptr, MDB_RDONLY, &transaction);
  if (code != 0) return LmdbError(code, "cannot read", path);
  MDB_dbi table = 0;
  code = mdb_dbi_open(transaction, nullptr, 0, &table);
  mdb_txn_abort(transaction);
  if (code != 0) return LmdbError(code, "cannot read", path);
  return file;
}

LmdbFile::~LmdbFile() { mdb_env_close(env_); }

absl::StatusOr<std::string> LmdbFile::Read(absl::string_view key) const {
  MDB_txn* transaction = nullptr;
  if (const int code = mdb_txn_begin(env_, nullptr, MDB_RDONLY, &transaction); code != 0) {
    return LmdbError(code, "cannot read", path_);
  }
  const auto end = absl::MakeCleanup([transaction] { mdb_txn_abort(transaction); });
  MDB_val mdb_key = ValueOf(key);
  MDB_val value;
  const int code = mdb_get(transaction, kMainTable, &mdb_key, &value);
  if (code == MDB_NOTFOUND) {
    return absl::NotFoundError(absl::StrCat(path_, ": no such record in the file"));
  }
  if (code != 0) return LmdbError(code, "cannot read", path_);
  return std::string(static_cast<const char*>(value.mv_data), value.mv_size);
}

absl::StatusOr<std::unique_ptr<LmdbWriter>> LmdbWriter::Create(const std::string& path) {
  // The map limits the file's size. More than there is on the disk cannot be written.
  constexpr uint64_t kMebibyte = uint64_t{1} << 20, kLargest = uint64_t{1} << 44;
  const std::filesystem::path folder = std::filesystem::absolute(path).parent_path();
  std::error_code error;
  const uint64_t available = std::filesystem::space(folder, error).available;
  const uint64_t map_size =
      error ? kLargest : std::min((available / kMebibyte + 64) * kMebibyte, kLargest);
  MDB_env* env = nullptr;
  if (const int code = mdb_env_create(&env); code != 0) {
    return LmdbError(code, "cannot write", path);
  }
  std::unique_ptr<LmdbWriter> writer(new LmdbWriter(path, env));
  int code = mdb_env_set_mapsize(env, map_size);
  // Nobody else has the file, and Finish() alone has to last.
  constexpr unsigned kFlags = MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC | MDB_NOMETASYNC;
  if (code == 0) code = mdb_env_open(env, path.c_str(), kFlags, 0666);
  if (code != 0) return LmdbError(code, "cannot write", path);
  SSD_RETURN_IF_ERROR(writer->Begin());
  MDB_dbi table = 0;
  code = mdb_dbi_open(writer->transaction_, nullptr, 0, &table);
  if (code != 0) return LmdbError(code, "cannot write", path);
  return writer;
}

LmdbWriter::~LmdbWriter() {
  if (transaction_ != nullptr) mdb_txn_abort(transaction_);
  mdb_env_close(env_);
}

absl::Status LmdbWriter::Append(absl::string_view key, absl::string_view value) {
  // A transaction is kept in memory until it is committed.
  constexpr int64_t kMostPending = int64_t{64} << 20;
  if (pending_bytes_ > kMostPending) SSD_RETURN_IF_ERROR(Commit());
  if (transaction_ == nullptr) SSD_RETURN_IF_ERROR(Begin());
  MDB_val mdb_key = ValueOf(key);
  MDB_val mdb_value = ValueOf(value);
  const int code = mdb_put(transaction_, kMainTable, &mdb_key, &mdb_value, MDB_APPEND);
  if (code != 0) return LmdbError(code, "cannot write", path_);
  pending_bytes_ += static_cast<int64_t>(key.size() + value.size());
  return absl::OkStatus();
}

absl::Status LmdbWriter::Finish() {
  if (transaction_ != nullptr) SSD_RETURN_IF_ERROR(Commit());
  constexpr int kForce = 1;
  const int code = mdb_env_sync(env_, kForce);
  return code == 0 ? absl::OkStatus() : LmdbError(code, "cannot write", path_);
}

absl::Status LmdbWriter::Begin() {
  const int code = mdb_txn_begin(env_, nullptr, 0, &transaction_);
  return code == 0 ? absl::OkStatus() : LmdbError(code, "cannot write", path_);
}

absl::Status LmdbWriter::Commit() {
  pending_bytes_ = 0;
  // The transaction is over, whether this succeeds or not.
  MDB_txn* const transaction = std::exchange(transaction_, nullptr);
  const int code = mdb_txn_commit(transaction);
  return code == 0 ? absl::OkStatus() : LmdbError(code, "cannot write", path_);
}

}  // namespace ssd
