#include "dpdk-app/kept_secret.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace talaria::app {
namespace {

Failure wrong(const std::string& path) { return {exit_control, path + ": " + strerror(errno)}; }

}  // namespace

std::expected<base::HashKey, Failure> kept_secret(const std::string& path, base::HashKey fresh) {
  static_assert(sizeof(base::HashKey) == 16);
  base::HashKey key;
  if (const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC); file >= 0) {
    char more;
    const bool whole = read(file, &key, sizeof key) == sizeof key && read(file, &more, 1) == 0;
    close(file);
    if (!whole) return std::unexpected(Failure{exit_control, path + ": it holds no key of 16 bytes"});
    return key;
  }
  if (errno != ENOENT) return std::unexpected(wrong(path));
  // Whole under its name, or not at all.
  const std::string partial = path + ".new";
  const int file = open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return std::unexpected(wrong(partial));
  const bool written = write(file, &fresh, sizeof fresh) == sizeof fresh && fsync(file) == 0;
  if (!written || close(file) != 0) return std::unexpected(wrong(partial));
  if (rename(partial.c_str(), path.c_str()) != 0) return std::unexpected(wrong(path));
  return fresh;
}

}  // namespace talaria::app
