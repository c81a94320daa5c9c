#include "control/sqlite_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "control/catalog.h"
#include "control/field_json.h"

namespace talaria::control {
namespace {

// Everything is text: booleans are "0" and "1", lists are JSON, argument tables are exact JSON (field_json.h). Names
// are blobs of bytes to SQLite as far as comparing goes (BINARY collation), so no two that differ are ever one.
constexpr char first_schema[] = R"sql(
CREATE TABLE users (
  name TEXT PRIMARY KEY, password_hash TEXT NOT NULL, hashing_algorithm TEXT NOT NULL, tags TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE vhosts (
  name TEXT PRIMARY KEY, description TEXT NOT NULL, tags TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE permissions (
  user TEXT NOT NULL, vhost TEXT NOT NULL,
  configure TEXT NOT NULL, write TEXT NOT NULL, read TEXT NOT NULL,
  PRIMARY KEY (user, vhost)
) WITHOUT ROWID;
CREATE TABLE exchanges (
  vhost TEXT NOT NULL, name TEXT NOT NULL,
  type TEXT NOT NULL, auto_delete TEXT NOT NULL, internal TEXT NOT NULL, arguments TEXT NOT NULL,
  PRIMARY KEY (vhost, name)
) WITHOUT ROWID;
CREATE TABLE queues (
  vhost TEXT NOT NULL, name TEXT NOT NULL, auto_delete TEXT NOT NULL, arguments TEXT NOT NULL,
  PRIMARY KEY (vhost, name)
) WITHOUT ROWID;
-- identity: the arguments in a form that is the same for equivalent tables.
CREATE TABLE bindings (
  vhost TEXT NOT NULL, source TEXT NOT NULL, destination TEXT NOT NULL, destination_is_queue TEXT NOT NULL,
  key TEXT NOT NULL, identity TEXT NOT NULL, arguments TEXT NOT NULL,
  PRIMARY KEY (vhost, source, destination, destination_is_queue, key, identity)
) WITHOUT ROWID;
)sql";
// limits: a JSON object.
constexpr char second_schema[] = R"sql(
ALTER TABLE users ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
ALTER TABLE vhosts ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
)sql";
constexpr char third_schema[] = R"sql(
CREATE TABLE policies (
  vhost TEXT NOT NULL, name TEXT NOT NULL, of_operators TEXT NOT NULL,
  pattern TEXT NOT NULL, apply_to TEXT NOT NULL, priority TEXT NOT NULL, definition TEXT NOT NULL,
  PRIMARY KEY (vhost, name, of_operators)
) WITHOUT ROWID;
)sql";
constexpr char fourth_schema[] = R"sql(
CREATE TABLE topic_permissions (
  user TEXT NOT NULL, vhost TEXT NOT NULL, exchange TEXT NOT NULL,
  write TEXT NOT NULL, read TEXT NOT NULL,
  PRIMARY KEY (user, vhost, exchange)
) WITHOUT ROWID;
)sql";
// Each takes a database from one version to the next; the first, an empty one to version 1.
constexpr const char* steps[] = {first_schema, second_schema, third_schema, fourth_schema};
static_assert(std::size(steps) == SqliteStore::schema_version);

std::string flag(bool value) { return value ? "1" : "0"; }
std::string list_text(const std::vector<std::string>& list) { return nlohmann::json(list).dump(); }
std::vector<std::string> list_from(const std::string& text) {
  return nlohmann::json::parse(text).get<std::vector<std::string>>();
}
std::string limits_text(const OperatorLimits& limits) { return nlohmann::json(limits).dump(); }
OperatorLimits limits_from(const std::string& text) { return nlohmann::json::parse(text).get<OperatorLimits>(); }
std::string table_text(const base::FieldTable& table) { return to_exact_json(table).dump(); }
base::FieldTable table_from(const std::string& text) { return from_exact_json(nlohmann::json::parse(text)); }

}  // namespace

void SqliteStore::CloseDatabase::operator()(sqlite3* database) const { sqlite3_close(database); }
void SqliteStore::FinalizeStatement::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

// A query's rows, a column at a time.
class SqliteStore::Rows {
 public:
  Rows(SqliteStore& store, const char* sql) : store_(store), statement_(store.prepare(sql)) {}
  bool next() {
    column_ = 0;
    int result = sqlite3_step(statement_.get());
    if (result == SQLITE_ROW) return true;
    if (result != SQLITE_DONE) store_.fail("reading");
    return false;
  }
  std::string text() {
    const void* bytes = sqlite3_column_blob(statement_.get(), column_);
    auto size = static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column_));
    column_++;
    return bytes ? std::string(static_cast<const char*>(bytes), size) : std::string();
  }
  bool boolean() { return text() == "1"; }

 private:
  SqliteStore& store_;
  Statement statement_;
  int column_ = 0;
};

SqliteStore::SqliteStore(const std::filesystem::path& file) {
  // SQLite would make it with the umask's rights.
  int made = ::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (made >= 0) ::close(made);
  sqlite3* database = nullptr;
  int result = sqlite3_open_v2(file.c_str(), &database, SQLITE_OPEN_READWRITE, nullptr);
  database_.reset(database);
  if (result != SQLITE_OK) throw StoreError("cannot open " + file.string() + ": " + sqlite3_errstr(result));
  sqlite3_busy_timeout(database, 0);
  execute("PRAGMA locking_mode = EXCLUSIVE");
  execute("PRAGMA journal_mode = WAL");
  execute("PRAGMA synchronous = FULL");
  execute("BEGIN EXCLUSIVE");  // takes the lock, which is kept from now on
  execute("COMMIT");
  migrate();
}

SqliteStore::~SqliteStore() = default;

void SqliteStore::fail(const char* doing) const {
  throw StoreError(std::string(doing) + " the database: " + sqlite3_errmsg(database_.get()));
}

void SqliteStore::execute(const char* sql) {
  if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail("using");
}

SqliteStore::Statement SqliteStore::prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database_.get(), sql, -1, &statement, nullptr) != SQLITE_OK) fail("asking");
  return Statement(statement);
}

int SqliteStore::version() {
  Rows rows(*this, "PRAGMA user_version");
  return rows.next() ? std::stoi(rows.text()) : 0;
}

void SqliteStore::migrate() {
  int found = version();
  if (found == schema_version) return;
  if (found > schema_version)
    throw StoreError("the database has schema version " + std::to_string(found) + ", this program knows up to " +
                     std::to_string(schema_version));
  execute("BEGIN");
  for (int step = found; step < schema_version; step++) execute(steps[step]);
  execute(("PRAGMA user_version = " + std::to_string(schema_version)).c_str());
  execute("COMMIT");
}

StoreContents SqliteStore::load() {
  StoreContents contents;
  try {
    for (Rows rows(*this, "SELECT name, password_hash, hashing_algorithm, tags, limits FROM users"); rows.next();) {
      UserRow& row = contents.users.emplace_back();
      row.name = rows.text();
      row.password_hash = rows.text();
      row.hashing_algorithm = rows.text();
      row.tags = list_from(rows.text());
      row.limits = limits_from(rows.text());
    }
    for (Rows rows(*this, "SELECT name, description, tags, limits FROM vhosts"); rows.next();) {
      VhostRow& row = contents.vhosts.emplace_back();
      row.name = rows.text();
      row.description = rows.text();
      row.tags = list_from(rows.text());
      row.limits = limits_from(rows.text());
    }
    for (Rows rows(*this, "SELECT user, vhost, configure, write, read FROM permissions"); rows.next();) {
      PermissionRow& row = contents.permissions.emplace_back();
      row.user = rows.text();
      row.vhost = rows.text();
      row.configure = rows.text();
      row.write = rows.text();
      row.read = rows.text();
    }
    for (Rows rows(*this, "SELECT user, vhost, exchange, write, read FROM topic_permissions"); rows.next();) {
      TopicPermissionRow& row = contents.topic_permissions.emplace_back();
      row.user = rows.text();
      row.vhost = rows.text();
      row.exchange = rows.text();
      row.write = rows.text();
      row.read = rows.text();
    }
    for (Rows rows(*this, "SELECT vhost, name, type, auto_delete, internal, arguments FROM exchanges"); rows.next();) {
      ExchangeRow& row = contents.exchanges.emplace_back();
      row.vhost = rows.text();
      row.name = rows.text();
      row.type = rows.text();
      row.auto_delete = rows.boolean();
      row.internal = rows.boolean();
      row.arguments = table_from(rows.text());
    }
    for (Rows rows(*this, "SELECT vhost, name, auto_delete, arguments FROM queues"); rows.next();) {
      QueueRow& row = contents.queues.emplace_back();
      row.vhost = rows.text();
      row.name = rows.text();
      row.auto_delete = rows.boolean();
      row.arguments = table_from(rows.text());
    }
    for (Rows rows(*this, "SELECT vhost, source, destination, destination_is_queue, key, arguments FROM bindings");
         rows.next();) {
      BindingRow& row = contents.bindings.emplace_back();
      row.vhost = rows.text();
      row.source = rows.text();
      row.destination = rows.text();
      row.destination_is_queue = rows.boolean();
      row.key = rows.text();
      row.arguments = table_from(rows.text());
    }
    for (Rows rows(*this, "SELECT vhost, name, of_operators, pattern, apply_to, priority, definition FROM policies");
         rows.next();) {
      PolicyRow& row = contents.policies.emplace_back();
      row.vhost = rows.text();
      row.name = rows.text();
      row.of_operators = rows.boolean();
      row.pattern = rows.text();
      row.apply_to = rows.text();
      row.priority = nlohmann::json::parse(rows.text()).get<int64_t>();
      row.definition = table_from(rows.text());
    }
  } catch (const nlohmann::json::exception& error) {
    throw StoreError(std::string("the database holds what nobody wrote: ") + error.what());
  } catch (const FieldJsonError& error) {
    throw StoreError(std::string("the database holds what nobody wrote: ") + error.what());
  }
  return contents;
}

void SqliteStore::save(std::span<const Edit> edits) {
  execute("BEGIN");
  try {
    for (const Edit& edit : edits) apply(edit);
    execute("COMMIT");
  } catch (...) {
    // When the rollback fails, too, SQLite has rolled back by itself.
    sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
}

void SqliteStore::run(const char* sql, std::initializer_list<std::string> texts) {
  Statement statement = prepare(sql);
  int position = 1;
  for (const std::string& text : texts) {
    if (sqlite3_bind_text(statement.get(), position++, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT) !=
        SQLITE_OK)
      fail("filling");
  }
  if (sqlite3_step(statement.get()) != SQLITE_DONE) fail("writing");
}

void SqliteStore::apply(const Edit& edit) {
  struct Writer {
    SqliteStore& store;
    void operator()(const Put<UserRow>& put) const {
      const UserRow& row = put.row;
      store.run("REPLACE INTO users VALUES (?,?,?,?,?)",
                {row.name, row.password_hash, row.hashing_algorithm, list_text(row.tags), limits_text(row.limits)});
    }
    void operator()(const Erase<UserRow>& erase) const {
      store.run("DELETE FROM users WHERE name=?", {erase.row.name});
    }
    void operator()(const Put<VhostRow>& put) const {
      store.run("REPLACE INTO vhosts VALUES (?,?,?,?)",
                {put.row.name, put.row.description, list_text(put.row.tags), limits_text(put.row.limits)});
    }
    void operator()(const Erase<VhostRow>& erase) const {
      store.run("DELETE FROM vhosts WHERE name=?", {erase.row.name});
    }
    void operator()(const Put<PermissionRow>& put) const {
      const PermissionRow& row = put.row;
      store.run("REPLACE INTO permissions VALUES (?,?,?,?,?)",
                {row.user, row.vhost, row.configure, row.write, row.read});
    }
    void operator()(const Erase<PermissionRow>& erase) const {
      store.run("DELETE FROM permissions WHERE user=? AND vhost=?", {erase.row.user, erase.row.vhost});
    }
    void operator()(const Put<TopicPermissionRow>& put) const {
      const TopicPermissionRow& row = put.row;
      store.run("REPLACE INTO topic_permissions VALUES (?,?,?,?,?)",
                {row.user, row.vhost, row.exchange, row.write, row.read});
    }
    void operator()(const Erase<TopicPermissionRow>& erase) const {
      store.run("DELETE FROM topic_permissions WHERE user=? AND vhost=? AND exchange=?",
                {erase.row.user, erase.row.vhost, erase.row.exchange});
    }
    void operator()(const Put<ExchangeRow>& put) const {
      const ExchangeRow& row = put.row;
      store.run("REPLACE INTO exchanges VALUES (?,?,?,?,?,?)",
                {row.vhost, row.name, row.type, flag(row.auto_delete), flag(row.internal), table_text(row.arguments)});
    }
    void operator()(const Erase<ExchangeRow>& erase) const {
      store.run("DELETE FROM exchanges WHERE vhost=? AND name=?", {erase.row.vhost, erase.row.name});
    }
    void operator()(const Put<QueueRow>& put) const {
      const QueueRow& row = put.row;
      store.run("REPLACE INTO queues VALUES (?,?,?,?)",
                {row.vhost, row.name, flag(row.auto_delete), table_text(row.arguments)});
    }
    void operator()(const Erase<QueueRow>& erase) const {
      store.run("DELETE FROM queues WHERE vhost=? AND name=?", {erase.row.vhost, erase.row.name});
    }
    void operator()(const Put<BindingRow>& put) const {
      const BindingRow& row = put.row;
      store.run("REPLACE INTO bindings VALUES (?,?,?,?,?,?,?)",
                {row.vhost, row.source, row.destination, flag(row.destination_is_queue), row.key,
                 canonical(row.arguments), table_text(row.arguments)});
    }
    void operator()(const Erase<BindingRow>& erase) const {
      const BindingRow& row = erase.row;
      store.run(
          "DELETE FROM bindings WHERE vhost=? AND source=? AND destination=? AND destination_is_queue=? AND key=? AND "
          "identity=?",
          {row.vhost, row.source, row.destination, flag(row.destination_is_queue), row.key, canonical(row.arguments)});
    }
    void operator()(const Put<PolicyRow>& put) const {
      const PolicyRow& row = put.row;
      store.run("REPLACE INTO policies VALUES (?,?,?,?,?,?,?)",
                {row.vhost, row.name, flag(row.of_operators), row.pattern, row.apply_to, std::to_string(row.priority),
                 table_text(row.definition)});
    }
    void operator()(const Erase<PolicyRow>& erase) const {
      store.run("DELETE FROM policies WHERE vhost=? AND name=? AND of_operators=?",
                {erase.row.vhost, erase.row.name, flag(erase.row.of_operators)});
    }
  };
  std::visit(Writer{*this}, edit);
}

}  // namespace talaria::control
