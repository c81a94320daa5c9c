// An exchange in a worker's replica: its properties and its bindings, in a table that suits its type, and `route`,
// which follows a message from exchange to exchange until it stands before queues. Routing never leaves the core.
//
// Rules: a queue gets one copy however many bindings or paths lead to it; an exchange is visited once a message, so
// cycles end; when nothing bound to an exchange matches, its alternate exchange (looked up by name now; it may not
// exist) takes the message; the default exchange is a look-up of the queue by name.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "core/base/field.h"
#include "core/base/flat_map.h"
#include "core/broker/address.h"
#include "core/broker/binding.h"
#include "core/broker/choice_bindings.h"
#include "core/broker/direct_bindings.h"
#include "core/broker/fanout_bindings.h"
#include "core/broker/headers_bindings.h"
#include "core/broker/route_targets.h"
#include "core/broker/topic_bindings.h"
#include "core/broker/topology.h"

namespace talaria::broker {

class Vhost;

class Exchange {
 public:
  Exchange(const AddExchange& what, Vhost& vhost);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  ExchangeId id() const { return id_; }
  const std::string& name() const { return name_; }
  ExchangeType type() const { return type_; }
  bool internal() const { return internal_; }
  bool delays() const { return delays_; }
  // What is published to it is for its home to decide about.
  bool remembers() const { return remembers_; }
  WorkerIndex home() const { return home_; }
  const ExchangeSettings* settings() const { return settings_.get(); }
  bool is_default() const { return name_.empty(); }
  const std::string& alternate() const { return alternate_; }
  void set_alternate(const std::string& name);  // cold
  Vhost& vhost() const { return vhost_; }
  size_t bindings() const { return known_.size(); }
  uint32_t bindings_to() const { return bindings_to_; }  // of other exchanges, leading here

  // Cold. Adding what is bound already, or removing what is not, changes nothing (false).
  bool bind(const Destination& destination, const std::string& key, const base::FieldTable& arguments);
  bool unbind(const Destination& destination, const std::string& key, const base::FieldTable& arguments);

 private:
  friend class RouteTargets;
  friend void route(Vhost&, Exchange&, std::string_view, const RouteFacts&, RouteTargets&);
  friend void route(Vhost&, Exchange&, std::span<const std::string_view>, const RouteFacts&, RouteTargets&);

  static void route(Vhost& vhost, Exchange& exchange, std::string_view routing_key, const RouteFacts& facts,
                    RouteTargets& out);
  static void route(Vhost& vhost, Exchange& exchange, std::span<const std::string_view> keys, const RouteFacts& facts,
                    RouteTargets& out);
  bool match(std::string_view routing_key, const RouteFacts& facts, RouteTargets& out);
  StoredBinding* find(uint64_t hash, const Destination& destination, const std::string& key,
                      const base::FieldTable& arguments);

  ExchangeId id_;
  ExchangeType type_;
  bool internal_;
  bool delays_ = false;
  bool remembers_ = false;
  WorkerIndex home_ = 0;
  bool needs_facts_ = false;  // of a message, to match it
  bool varies_ = false;       // the next message with the same key and facts may go elsewhere
  uint64_t mark_ = 0;         // the last routing that reached it
  Vhost& vhost_;
  std::variant<DirectBindings, FanoutBindings, TopicBindings, HeadersBindings, ChoiceBindings> table_;
  std::string name_;
  std::string alternate_;
  std::shared_ptr<const ExchangeSettings> settings_;
  uint32_t bindings_to_ = 0;
  base::FlatMap<StoredBinding*> known_;  // owned; by destination and key (arguments are compared)
};

// Fills `out` with the queues that get the message; empty when it is unroutable. `facts` may be empty unless
// vhost.needs_facts(). Allocation-free once `out` has grown to the widest fan-out.
void route(Vhost& vhost, Exchange& exchange, std::string_view routing_key, const RouteFacts& facts, RouteTargets& out);
// The same for a message with several keys: wherever one of them leads, one copy a queue.
void route(Vhost& vhost, Exchange& exchange, std::span<const std::string_view> keys, const RouteFacts& facts,
           RouteTargets& out);

}  // namespace talaria::broker
