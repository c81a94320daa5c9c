// A script: what its header says, and its lines.
//
//   # behaviour: the name in docs/TCP.md, or `bug: ...`, `unsupported: ...`, `attack: ...` for scripts beside the list
//   # rfc: sections
//   # shows: a sentence
//   # state: only if the stack does not do it yet: what is missing. The script is then expected to fail
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace talaria::conformance {

struct Line {
  int number = 0;
  std::string text;  // without comment and blanks at its ends
};

struct Script {
  std::string path;
  std::string name;  // of the file, without .pkt
  int listed = 0;    // its number in the list of behaviours; 0: beside it
  std::string kind;  // behaviour, bug, unsupported, attack
  std::string title;
  std::string state;  // empty: it holds
  bool has_rfc = false, shows = false;
  std::string fails;  // of a script that is wrong on purpose: part of what the interpreter must say
  std::vector<Line> lines;
};

// Throws Failure if the file cannot be read.
Script read_script(const std::string& path);
// Throws Failure if the header is not complete.
void check_header(const Script& script);

}  // namespace talaria::conformance
