// A secret that outlives the process, in a file that only its user reads.
#pragma once

#include <expected>
#include <string>

#include "core/base/hash.h"
#include "dpdk-app/exit_status.h"

namespace talaria::app {

// What stands in the file; `fresh`, which is put there, if there is none. A file of another size is refused.
std::expected<base::HashKey, Failure> kept_secret(const std::string& path, base::HashKey fresh);

}  // namespace talaria::app
