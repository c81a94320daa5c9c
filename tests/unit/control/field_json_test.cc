#include "control/field_json.h"

#include <gtest/gtest.h>

#include <limits>

#include "control/catalog.h"
#include "control/printable.h"

namespace talaria::control {
namespace {

using base::Field;
using base::FieldTable;

FieldTable every_type() {
  return {
      {"void", {base::Void{}}},
      {"bool", {true}},
      {"s8", {int8_t{-128}}},
      {"u8", {uint8_t{255}}},
      {"s16", {int16_t{-32768}}},
      {"u16", {uint16_t{65535}}},
      {"s32", {std::numeric_limits<int32_t>::min()}},
      {"u32", {std::numeric_limits<uint32_t>::max()}},
      {"s64", {std::numeric_limits<int64_t>::min()}},
      {"u64", {std::numeric_limits<uint64_t>::max()}},
      {"float", {0.1f}},
      {"double", {-std::numeric_limits<double>::infinity()}},
      {"decimal", {base::Decimal{2, 12345}}},
      {"text", {std::string("gr\xc3\xbc\xc3\x9f", 6)}},
      {"binary text", {std::string("\x00\xff\x80", 3)}},
      {"timestamp", {base::Timestamp{1700000000}}},
      {"table", {FieldTable{{"x", {int32_t{1}}}, {"x", {std::string("again")}}}}},
      {"array", {base::FieldArray{{true}, {base::FieldArray{}}, {std::string("a")}}}},
      {"bytes", {base::ByteArray{std::string("\xff", 1)}}},
      {"\xff name", {false}},
  };
}

TEST(FieldJson, ExactKeepsTypesWidthsOrderAndBytes) {
  FieldTable table = every_type();
  // Through text, as it goes through the store.
  nlohmann::json json = nlohmann::json::parse(to_exact_json(table).dump());
  FieldTable back = from_exact_json(json);
  ASSERT_EQ(back.size(), table.size());
  for (size_t i = 0; i < table.size(); i++) {
    EXPECT_EQ(back[i].name, table[i].name);
    EXPECT_EQ(back[i].value.value.index(), table[i].value.value.index()) << table[i].name;
    EXPECT_TRUE(base::equivalent(back[i].value, table[i].value)) << table[i].name;
  }
  EXPECT_EQ(to_exact_json(back), to_exact_json(table));
}

TEST(FieldJson, ExactRefusesWhatItCannotHaveWritten) {
  for (const char* text :
       {R"({})", R"([1])", R"([["a","S"]])", R"([["a","S",1]])", R"([["a","?",1]])", R"([["a","b",128]])",
        R"([["a","B",-1]])", R"([["a","t",1]])", R"([["a","D",[1]]])", R"([["a","S",{"hex":"zz"}]])",
        R"([["a","S",{"hex":"a"}]])", R"([["a","d","x"]])", R"([["a","l",18446744073709551615]])", R"([[1,"S","a"]])"})
    EXPECT_THROW(from_exact_json(nlohmann::json::parse(text)), FieldJsonError) << text;
}

TEST(FieldJson, PlainIsWhatDefinitionsHave) {
  auto json = nlohmann::json::parse(R"({"x-match":"all","n":5,"f":1.5,"b":true,"v":null,"t":{"a":[1,"two"]}})");
  FieldTable table = from_plain_json(json);
  EXPECT_EQ(*base::find(table, "x-match")->text(), "all");
  EXPECT_EQ(base::find(table, "n")->integer(), 5);
  EXPECT_EQ(to_plain_json(table), json);
  EXPECT_TRUE(from_plain_json(nlohmann::json::array()).empty());
  EXPECT_THROW(from_plain_json(nlohmann::json::parse("[1]")), FieldJsonError);
  EXPECT_THROW(from_plain_json(nlohmann::json::parse(R"({"n":18446744073709551615})")), FieldJsonError);
  std::string deep = R"({"a":)" + std::string(100, '[') + std::string(100, ']') + "}";
  EXPECT_THROW(from_plain_json(nlohmann::json::parse(deep)), FieldJsonError);
}

TEST(Canonical, IsEqualForEquivalentTablesOnly) {
  FieldTable a{{"n", {int8_t{5}}}, {"s", {std::string("x")}}, {"z", {0.0}}};
  FieldTable b{{"z", {-0.0f}}, {"s", {std::string("x")}}, {"n", {uint64_t{5}}}};
  EXPECT_TRUE(base::equivalent(a, b));
  EXPECT_EQ(canonical(a), canonical(b));
  std::vector<FieldTable> different = {
      {},
      {{"n", {int8_t{5}}}},
      {{"n", {std::string("5")}}},
      {{"n", {true}}},
      {{"n", {base::Timestamp{5}}}},
      {{"n", {5.0}}},
      {{"n", {base::Void{}}}},
      {{"n", {base::ByteArray{"5"}}}},
      {{"n", {base::FieldArray{{int8_t{5}}}}}},
      {{"n", {FieldTable{{"n", {int8_t{5}}}}}}},
      {{"n1:", {int8_t{5}}}},
  };
  for (size_t i = 0; i < different.size(); i++)
    for (size_t j = 0; j < different.size(); j++)
      EXPECT_EQ(canonical(different[i]) == canonical(different[j]), i == j) << i << " " << j;
  EXPECT_EQ(canonical(every_type()), canonical(from_exact_json(to_exact_json(every_type()))));
}

TEST(Printable, TellsUtf8AndNames) {
  for (const char* text : {"", "a", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x90\x87", "\xed\x9f\xbf"})
    EXPECT_TRUE(is_utf8(text)) << text;
  for (const char* text : {"\x80", "\xc3", "\xc0\x80", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff",
                           "\xf0\x80\x80\x80", "\xe0\x80\x80"})
    EXPECT_FALSE(is_utf8(text));
  EXPECT_TRUE(is_name("/"));
  EXPECT_FALSE(is_name(""));
  EXPECT_FALSE(is_name("a\nb"));
  EXPECT_FALSE(is_name(std::string("a\0b", 3)));
  EXPECT_FALSE(is_name(std::string(256, 'a')));
  EXPECT_EQ(printable("a\x1b[31m\n"), "a.[31m.");
}

}  // namespace
}  // namespace talaria::control
