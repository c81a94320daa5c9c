// Field tables as JSON, in two ways.
//
// Exact, for the store: types, widths and order survive. A table is an array of [name, tag, value] with AMQP 0-9-1's
// letters as tags (RabbitMQ's errata): [["x-match","S","all"],["n","I",5]]. Text that is no UTF-8 stands as {"hex":
// ...}.
//
// Plain, as RabbitMQ's definitions and listings have it: {"x-match": "all", "n": 5}. Types that JSON does not have are
// shown as what comes nearest; reading it back gives text, booleans, 64-bit integers, doubles, tables, arrays and
// voids.
#pragma once

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/base/field.h"

namespace talaria::control {

class FieldJsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

nlohmann::json to_exact_json(const base::FieldTable& table);
// Throws FieldJsonError for what to_exact_json cannot have written.
base::FieldTable from_exact_json(const nlohmann::json& value);

nlohmann::json to_plain_json(const base::FieldTable& table);
// Throws FieldJsonError for what is no object, a number beyond 64 bits, or nested deeper than 32.
base::FieldTable from_plain_json(const nlohmann::json& value);

// Bytes that need not be UTF-8: text or {"hex": "..."}.
nlohmann::json to_exact_json(const std::string& bytes);
std::string bytes_from_exact_json(const nlohmann::json& value);

}  // namespace talaria::control
