#include "core/broker/topic_bindings.h"

#include "core/base/check.h"
#include "core/base/hash.h"

namespace talaria::broker {

TopicBindings::~TopicBindings() {
  // Depth first without recursion: a key of 255 bytes makes a path of 128 nodes, but a destructor should not depend on
  // it.
  std::vector<TopicNode*> open;
  auto open_children = [&](const TopicNode& node) {
    node.words.for_each([&](TopicNode* child) { open.push_back(child); });
    if (node.star) open.push_back(node.star);
    if (node.hash) open.push_back(node.hash);
  };
  open_children(root_);
  while (!open.empty()) {
    TopicNode* node = open.back();
    open.pop_back();
    open_children(*node);
    delete node;
  }
}

void TopicBindings::split(std::string_view key, std::vector<TopicWord>& words) {
  words.clear();
  for (;;) {
    size_t dot = key.find('.');
    std::string_view word = key.substr(0, dot);
    words.push_back({word, base::hash_bytes(base::as_bytes(word))});
    if (dot == std::string_view::npos) return;
    key.remove_prefix(dot + 1);
  }
}

TopicNode* TopicBindings::child(TopicNode& node, const TopicWord& word) const {
  TopicNode** found =
      node.words.find(word.hash, [&](const TopicNode* candidate) { return candidate->word == word.text; });
  return found ? *found : nullptr;
}

TopicNode* TopicBindings::make_child(TopicNode& node, const TopicWord& word) {
  TopicNode** special = word.text == "*" ? &node.star : word.text == "#" ? &node.hash : nullptr;
  if (TopicNode* found = special ? *special : child(node, word)) return found;
  auto* made = new TopicNode;
  made->parent = &node;
  made->word = word.text;
  made->word_hash = word.hash;
  if (special)
    *special = made;
  else
    node.words.insert(word.hash, made);
  nodes_++;
  return made;
}

void TopicBindings::add(StoredBinding& binding) {
  std::vector<TopicWord> words;
  split(binding.key, words);
  TopicNode* node = &root_;
  for (const TopicWord& word : words) node = make_child(*node, word);
  binding.place = static_cast<uint32_t>(node->ends.size());
  node->ends.push_back({binding.destination, &binding});
}

void TopicBindings::remove(StoredBinding& binding) {
  std::vector<TopicWord> words;
  split(binding.key, words);
  TopicNode* node = &root_;
  for (const TopicWord& word : words) {
    node = word.text == "*" ? node->star : word.text == "#" ? node->hash : child(*node, word);
    CHECK(node);
  }
  node->ends[binding.place] = node->ends.back();
  node->ends[binding.place].binding->place = binding.place;
  node->ends.pop_back();
  prune(node);
}

// Removes the node and those above it that lead nowhere any more.
void TopicBindings::prune(TopicNode* node) {
  while (node != &root_ && node->ends.empty() && node->words.size() == 0 && !node->star && !node->hash) {
    TopicNode* parent = node->parent;
    if (parent->star == node)
      parent->star = nullptr;
    else if (parent->hash == node)
      parent->hash = nullptr;
    else
      parent->words.erase(node->word_hash, [&](const TopicNode* candidate) { return candidate == node; });
    delete node;
    nodes_--;
    node = parent;
  }
}

// Adds the `#` nodes that are reached from a node without a word.
void TopicBindings::reach_hash(const TopicNode* from, std::vector<TopicNode*>& set) const {
  for (TopicNode* node = from->hash; node && node->mark != mark_; node = node->hash) {
    node->mark = mark_;
    set.push_back(node);
  }
}

bool TopicBindings::match(std::string_view key, RouteTargets& out) {
  split(key, out.words_);
  std::vector<TopicNode*>& here = out.topic_here_;
  std::vector<TopicNode*>& next = out.topic_next_;
  std::vector<TopicNode*>& hashes = out.topic_hashes_;
  mark_++;
  hashes.clear();
  here.assign(1, &root_);
  reach_hash(&root_, hashes);
  for (const TopicWord& word : out.words_) {
    next.clear();
    const auto pass = [&](TopicNode* node) {
      if (node->words.size() != 0)
        if (TopicNode* one = child(*node, word)) next.push_back(one);
      if (node->star) next.push_back(node->star);
    };
    for (TopicNode* node : here) pass(node);
    for (TopicNode* node : hashes) pass(node);
    for (const TopicNode* node : next) reach_hash(node, hashes);
    here.swap(next);
    if (here.empty() && hashes.empty()) return false;
  }
  bool matched = false;
  const auto finish = [&](const TopicNode* node) {
    for (const TopicNode::End& end : node->ends) {
      out.add(end.destination);
      matched = true;
    }
  };
  for (const TopicNode* node : here) finish(node);
  for (const TopicNode* node : hashes) finish(node);
  return matched;
}

}  // namespace talaria::broker
