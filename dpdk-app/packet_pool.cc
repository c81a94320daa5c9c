#include "dpdk-app/packet_pool.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

namespace talaria::app {

rte_mempool* make_packet_pool(const std::string& name, uint32_t packets, uint16_t buffer, int numa_node,
                              bool one_array) {
  const bool no_gaps = one_array || rte_eal_iova_mode() == RTE_IOVA_VA;
  rte_mempool* pool =
      rte_mempool_create_empty(name.c_str(), packets, static_cast<unsigned>(sizeof(rte_mbuf)) + buffer, packet_cache,
                               sizeof(rte_pktmbuf_pool_private), numa_node, no_gaps ? RTE_MEMPOOL_F_NO_IOVA_CONTIG : 0);
  if (pool == nullptr) return nullptr;
  rte_pktmbuf_pool_private sizes{};
  sizes.mbuf_data_room_size = buffer;
  rte_pktmbuf_pool_init(pool, &sizes);
  if (rte_mempool_populate_default(pool) < 0 || (one_array && pool->nb_mem_chunks != 1)) {
    if (rte_errno == 0) rte_errno = ENOMEM;
    rte_mempool_free(pool);
    return nullptr;
  }
  rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);
  return pool;
}

}  // namespace talaria::app
