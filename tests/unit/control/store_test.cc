#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "control/catalog.h"
#include "control/field_json.h"
#include "control/memory_store.h"
#include "control/sqlite_store.h"

namespace talaria::control {
namespace {

// A directory of its own, gone with the test.
class Directory {
 public:
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "talaria-store-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::filesystem::path file() const { return path_ / "talaria.db"; }

 private:
  std::filesystem::path path_;
};

std::vector<Edit> some_of_everything() {
  base::FieldTable arguments{{"alternate-exchange", {std::string("other")}}, {"n", {int16_t{3}}}};
  return {
      Put<UserRow>{{"u", "hash", "algorithm", {"administrator", "monitoring"}, {{"max-channels", 3}}}},
      Put<VhostRow>{{"v", "text", {"a"}, {{"max-queues", -1}, {"max-connections", 0}}}},
      Put<PermissionRow>{{"u", "v", "c", "w", "r"}},
      Put<ExchangeRow>{{"v", "x", "topic", true, false, arguments}},
      Put<QueueRow>{{"v", "q", true, arguments}},
      Put<BindingRow>{{"v", "x", "q", true, "key.#", arguments}},
      Put<BindingRow>{{"v", "x", "q", true, "key.#", {}}},
      Put<BindingRow>{{"v", "x", "y", false, "", {}}},
      Put<PolicyRow>{{"v", "p", false, "^a", "queues", -3, arguments}},
      Put<PolicyRow>{{"v", "p", true, "", "all", 0, arguments}},
      Put<TopicPermissionRow>{{"u", "v", "x", "^w", "r$"}},
      Put<TopicPermissionRow>{{"u", "v", "", "", ""}},
  };
}

// What a store holds, as text that shows everything.
std::string picture(Store& store) {
  StoreContents contents = store.load();
  std::vector<std::string> lines;
  auto join = [](const std::vector<std::string>& parts) {
    std::string out;
    for (const auto& part : parts) out += part + "|";
    return out;
  };
  for (auto& row : contents.users)
    lines.push_back("user " + join({row.name, row.password_hash, row.hashing_algorithm}) + join(row.tags) +
                    nlohmann::json(row.limits).dump());
  for (auto& row : contents.vhosts)
    lines.push_back("vhost " + join({row.name, row.description}) + join(row.tags) + nlohmann::json(row.limits).dump());
  for (auto& row : contents.permissions)
    lines.push_back("permission " + join({row.user, row.vhost, row.configure, row.write, row.read}));
  for (auto& row : contents.exchanges)
    lines.push_back("exchange " + join({row.vhost, row.name, row.type}) + (row.auto_delete ? "A" : "") +
                    (row.internal ? "I" : "") + to_exact_json(row.arguments).dump());
  for (auto& row : contents.queues)
    lines.push_back("queue " + join({row.vhost, row.name}) + (row.auto_delete ? "A" : "") +
                    to_exact_json(row.arguments).dump());
  for (auto& row : contents.bindings)
    lines.push_back("binding " + join({row.vhost, row.source, row.destination, row.key}) +
                    (row.destination_is_queue ? "Q" : "E") + to_exact_json(row.arguments).dump());
  for (auto& row : contents.topic_permissions)
    lines.push_back("topics " + join({row.user, row.vhost, row.exchange, row.write, row.read}));
  for (auto& row : contents.policies)
    lines.push_back("policy " + join({row.vhost, row.name, row.pattern, row.apply_to}) +
                    (row.of_operators ? "O" : "U") + std::to_string(row.priority) +
                    to_exact_json(row.definition).dump());
  std::sort(lines.begin(), lines.end());
  return join(lines);
}

TEST(SqliteStore, EverythingIsBackAfterAReopen) {
  Directory directory;
  std::string before;
  {
    SqliteStore store(directory.file());
    EXPECT_EQ(picture(store), "");
    store.save(some_of_everything());
    before = picture(store);
  }
  SqliteStore store(directory.file());
  EXPECT_EQ(picture(store), before);
  MemoryStore memory;
  memory.save(some_of_everything());
  EXPECT_EQ(picture(memory), before);
}

TEST(SqliteStore, PutReplacesAndEraseRemovesByKey) {
  Directory directory;
  SqliteStore sqlite(directory.file());
  MemoryStore memory;
  for (Store* store : {static_cast<Store*>(&sqlite), static_cast<Store*>(&memory)}) {
    store->save(some_of_everything());
    // Equivalent arguments of another width are the same binding.
    base::FieldTable equivalent{{"n", {uint64_t{3}}}, {"alternate-exchange", {std::string("other")}}};
    store->save(std::vector<Edit>{
        Put<UserRow>{{"u", "other", "algorithm", {}}}, Erase<BindingRow>{{"v", "x", "q", true, "key.#", equivalent}},
        Erase<ExchangeRow>{{"v", "x", "", false, false, {}}}, Erase<QueueRow>{{"v", "not there", false, {}}}});
    StoreContents contents = store->load();
    ASSERT_EQ(contents.users.size(), 1u);
    EXPECT_EQ(contents.users[0].password_hash, "other");
    EXPECT_EQ(contents.bindings.size(), 2u);
    EXPECT_TRUE(contents.exchanges.empty());
    store->save(std::vector<Edit>{
        Erase<UserRow>{{"u", "", "", {}}}, Erase<VhostRow>{{"v", "", {}}}, Erase<PermissionRow>{{"u", "v", "", "", ""}},
        Erase<QueueRow>{{"v", "q", false, {}}}, Erase<BindingRow>{{"v", "x", "q", true, "key.#", {}}},
        Erase<BindingRow>{{"v", "x", "y", false, "", {}}}, Erase<PolicyRow>{{"v", "p", false, "", "", 0, {}}},
        Erase<PolicyRow>{{"v", "p", true, "", "", 0, {}}}, Erase<TopicPermissionRow>{{"u", "v", "x", "", ""}},
        Erase<TopicPermissionRow>{{"u", "v", "", "", ""}}});
    EXPECT_EQ(picture(*store), "");
  }
}

// A database of the first version, as it was made before there were limits.
TEST(SqliteStore, AnOlderDatabaseIsBroughtUpToDate) {
  Directory directory;
  {
    SqliteStore store(directory.file());
    store.save(some_of_everything());
  }
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(directory.file().c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database,
                         "ALTER TABLE users DROP COLUMN limits; ALTER TABLE vhosts DROP COLUMN limits;"
                         "DROP TABLE policies; DROP TABLE topic_permissions;"
                         "PRAGMA user_version = 1",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(database);
  SqliteStore store(directory.file());
  StoreContents contents = store.load();
  ASSERT_EQ(contents.users.size(), 1u);
  EXPECT_EQ(contents.users[0].password_hash, "hash");
  EXPECT_TRUE(contents.users[0].limits.empty());
  EXPECT_EQ(contents.bindings.size(), 3u);
  store.save(some_of_everything());
  EXPECT_EQ(store.load().users[0].limits, (OperatorLimits{{"max-channels", 3}}));
}

TEST(SqliteStore, NamesOfAnyBytesAreKept) {
  Directory directory;
  std::string odd("a\0'\";--\xff", 8);
  {
    SqliteStore store(directory.file());
    store.save(std::vector<Edit>{Put<QueueRow>{{"v", odd, false, {}}}, Put<QueueRow>{{"v", "a", false, {}}}});
  }
  SqliteStore store(directory.file());
  StoreContents contents = store.load();
  ASSERT_EQ(contents.queues.size(), 2u);
  EXPECT_TRUE(contents.queues[0].name == odd || contents.queues[1].name == odd);
}

TEST(SqliteStore, TheFileIsForItsOwnerOnly) {
  Directory directory;
  SqliteStore store(directory.file());
  struct stat found {};
  ASSERT_EQ(::stat(directory.file().c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
}

TEST(SqliteStore, ASecondBrokerOnTheSameFileIsRefused) {
  Directory directory;
  SqliteStore store(directory.file());
  EXPECT_THROW(SqliteStore{directory.file()}, StoreError);
}

TEST(SqliteStore, RefusesALaterSchemaGarbageAndNoDirectory) {
  Directory directory;
  { SqliteStore store(directory.file()); }
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(directory.file().c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "PRAGMA user_version = 99", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  EXPECT_THROW(SqliteStore{directory.file()}, StoreError);

  Directory other;
  FILE* file = std::fopen(other.file().c_str(), "w");
  for (int i = 0; i < 1000; i++) std::fputs("this is no database ", file);
  std::fclose(file);
  EXPECT_THROW(SqliteStore{other.file()}, StoreError);
  EXPECT_THROW(SqliteStore{"/nowhere/at/all/talaria.db"}, StoreError);
}

TEST(MemoryStore, FailsWhenToldTo) {
  MemoryStore store;
  store.fail_next(1);
  EXPECT_THROW(store.save(some_of_everything()), StoreError);
  EXPECT_EQ(picture(store), "");
  store.save(some_of_everything());
  EXPECT_NE(picture(store), "");
}

}  // namespace
}  // namespace talaria::control
