// The topic exchange: keys are words between dots; in a binding's key `*` stands for exactly one word and `#` for any
// number, zero among them. An empty key is one empty word.
//
// Binding keys stand in a trie by words. Matching runs the trie as a nondeterministic automaton: after each word of the
// routing key there is a set of nodes reached. A `#` node, once reached, stays in the set whatever the words, so those
// are kept apart; any other node is reached through its parent alone, and so at most once a word. So the cost of a key
// is bounded by its words (at most 256) times the nodes of the trie, however many `#` the binding keys hold;
// backtracking would be exponential in them. In ordinary use a handful of nodes is live at a time, and what a key costs
// is the cache lines of their nodes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/cache_line.h"
#include "core/base/flat_map.h"
#include "core/broker/binding.h"
#include "core/broker/route_targets.h"

namespace talaria::broker {

struct alignas(base::cache_line) TopicNode {
  // ---- the first cache line: all that a node takes that is passed ----
  base::FlatMap<TopicNode*> words;  // children by ordinary words
  TopicNode* star = nullptr;        // child `*`
  TopicNode* hash = nullptr;        // child `#`
  std::string word;
  // ---- the second: where a key ends ----
  struct End {
    Destination destination;  // the binding's, at hand
    StoredBinding* binding = nullptr;
  };
  std::vector<End> ends;
  uint64_t mark = 0;  // of a `#` node: the last match that reached it
  TopicNode* parent = nullptr;
  uint64_t word_hash = 0;
};
static_assert(sizeof(TopicNode) == 2 * base::cache_line);

class TopicBindings {
 public:
  TopicBindings() = default;
  ~TopicBindings();
  TopicBindings(const TopicBindings&) = delete;
  TopicBindings& operator=(const TopicBindings&) = delete;

  void add(StoredBinding& binding);
  void remove(StoredBinding& binding);
  bool match(std::string_view key, RouteTargets& out);
  size_t nodes() const { return nodes_; }

 private:
  TopicNode* child(TopicNode& node, const TopicWord& word) const;
  TopicNode* make_child(TopicNode& node, const TopicWord& word);
  void prune(TopicNode* node);
  void reach_hash(const TopicNode* from, std::vector<TopicNode*>& set) const;
  static void split(std::string_view key, std::vector<TopicWord>& words);

  TopicNode root_;
  uint64_t mark_ = 0;  // counts matches
  size_t nodes_ = 0;   // besides the root
};

}  // namespace talaria::broker
