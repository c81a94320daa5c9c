// The store talariad uses: one SQLite file in the data directory.
//
// Write-ahead log with synchronous=FULL: when `save` returns, the rows survive a power cut. The schema carries a
// version (PRAGMA user_version); a file of a later version is refused, never guessed at. One process has the file open
// at a time: it is locked exclusively, so that a second broker on the same directory stops at once instead of writing
// beside us.
#pragma once

#include <filesystem>
#include <memory>

#include "control/store.h"

struct sqlite3;
struct sqlite3_stmt;

namespace talaria::control {

class SqliteStore final : public Store {
 public:
  static constexpr int schema_version = 4;

  // Makes the file (mode 0600: password hashes are in it) if it is not there; its directory must exist. Throws
  // StoreError.
  explicit SqliteStore(const std::filesystem::path& file);
  ~SqliteStore() override;
  SqliteStore(const SqliteStore&) = delete;

  StoreContents load() override;
  void save(std::span<const Edit> edits) override;

 private:
  struct CloseDatabase {
    void operator()(sqlite3* database) const;
  };
  struct FinalizeStatement {
    void operator()(sqlite3_stmt* statement) const;
  };
  using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;
  class Rows;

  void execute(const char* sql);
  Statement prepare(const char* sql);
  int version();
  void migrate();
  void run(const char* sql, std::initializer_list<std::string> texts);
  void apply(const Edit& edit);
  [[noreturn]] void fail(const char* doing) const;

  std::unique_ptr<sqlite3, CloseDatabase> database_;
};

}  // namespace talaria::control
