#include "core/base/field.h"

#include <gtest/gtest.h>

namespace talaria::base {
namespace {

template <class T>
Field field(T value) {
  return Field{std::move(value)};
}
Field text(const char* value) { return Field{std::string(value)}; }

TEST(Field, IntegersOfAnyWidthAreEquivalentByValue) {
  EXPECT_TRUE(equivalent(field(int8_t{5}), field(uint64_t{5})));
  EXPECT_TRUE(equivalent(field(int16_t{-5}), field(int64_t{-5})));
  EXPECT_FALSE(equivalent(field(int8_t{5}), field(int8_t{6})));
  EXPECT_TRUE(field(uint32_t{1}).is_integer());
  EXPECT_FALSE(field(true).is_integer());
  EXPECT_EQ(field(uint64_t{UINT64_MAX}).integer(), INT64_MAX);
  EXPECT_EQ(text("7").integer(), 0);
}

TEST(Field, ClassesAreNeverEquivalent) {
  EXPECT_FALSE(equivalent(field(int32_t{1}), field(true)));
  EXPECT_FALSE(equivalent(field(int32_t{1}), field(1.0)));
  EXPECT_FALSE(equivalent(text("a"), field(ByteArray{"a"})));
  EXPECT_FALSE(equivalent(field(Void{}), text("")));
  EXPECT_FALSE(equivalent(field(Timestamp{1}), field(uint64_t{1})));
  EXPECT_TRUE(equivalent(field(1.5f), field(1.5)));
  EXPECT_TRUE(equivalent(field(Void{}), field(Void{})));
  EXPECT_FALSE(equivalent(field(Decimal{1, 2}), field(Decimal{2, 2})));
}

TEST(Field, TablesAreEquivalentInAnyOrder) {
  FieldTable a = {{"x", field(int32_t{1})}, {"y", text("b")}};
  FieldTable b = {{"y", text("b")}, {"x", field(int64_t{1})}};
  EXPECT_TRUE(equivalent(a, b));
  b.push_back({"z", field(Void{})});
  EXPECT_FALSE(equivalent(a, b));
  EXPECT_FALSE(equivalent(b, a));
  EXPECT_TRUE(equivalent(field(FieldArray{text("a"), text("b")}), field(FieldArray{text("a"), text("b")})));
  EXPECT_FALSE(equivalent(field(FieldArray{text("a"), text("b")}), field(FieldArray{text("b"), text("a")})));
  EXPECT_TRUE(equivalent(field(a), field(a)));
}

TEST(Field, TheLastEntryOfANameCounts) {
  FieldTable table = {{"x", text("first")}, {"x", text("last")}};
  ASSERT_NE(find(table, "x"), nullptr);
  EXPECT_EQ(*find(table, "x")->text(), "last");
  EXPECT_EQ(find(table, "y"), nullptr);
  EXPECT_TRUE(equivalent(table, FieldTable{{"x", text("last")}}));
}

TEST(Field, TextForPeople) {
  EXPECT_EQ(to_text(field(int32_t{-10})), "-10");
  EXPECT_EQ(to_text(text("a\"b")), "\"a\\\"b\"");
  EXPECT_EQ(to_text(field(FieldArray{field(int8_t{1}), field(true)})), "[1,true]");
  EXPECT_EQ(to_text(field(FieldTable{{"a", field(int8_t{1})}, {"b", field(Void{})}})), "{\"a\":1,\"b\":undefined}");
}

FieldView view(FieldKind kind, int64_t integer) {
  FieldView out;
  out.kind = kind;
  out.integer = integer;
  return out;
}
FieldView view(FieldKind kind, std::string_view bytes) {
  FieldView out;
  out.kind = kind;
  out.bytes = bytes;
  return out;
}

TEST(FieldView, MatchesSameKindAndValue) {
  EXPECT_TRUE(matches(view(FieldKind::integer, 5), field(uint8_t{5})));
  EXPECT_FALSE(matches(view(FieldKind::integer, 5), text("5")));
  EXPECT_TRUE(matches(view(FieldKind::text, "a"), text("a")));
  EXPECT_FALSE(matches(view(FieldKind::text, "a"), text("b")));
  EXPECT_FALSE(matches(view(FieldKind::bytes, "a"), text("a")));
  EXPECT_TRUE(matches(view(FieldKind::bytes, "a"), field(ByteArray{"a"})));
  EXPECT_TRUE(matches(view(FieldKind::boolean, 1), field(true)));
  EXPECT_FALSE(matches(view(FieldKind::boolean, 1), field(false)));
  EXPECT_TRUE(matches(view(FieldKind::timestamp, 9), field(Timestamp{9})));
  EXPECT_TRUE(matches(view(FieldKind::decimal, (int64_t{2} << 32) | 314), field(Decimal{2, 314})));
  EXPECT_TRUE(matches(view(FieldKind::void_, 0), field(Void{})));
  FieldView floating;
  floating.kind = FieldKind::floating;
  floating.floating = 2.5;
  EXPECT_TRUE(matches(floating, field(2.5f)));
}

TEST(FieldView, TablesAndArraysNeverMatch) {
  EXPECT_FALSE(matches(view(FieldKind::table, ""), field(FieldTable{})));
  EXPECT_FALSE(matches(view(FieldKind::array, ""), field(FieldArray{})));
}

}  // namespace
}  // namespace talaria::base
