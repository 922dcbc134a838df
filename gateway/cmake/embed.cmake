# Writes assets.cpp: each file of a list as bytes, with the tag that a browser remembers it by.
#
#   cmake -DLIST=<file of file names> -DROOT=<folder that names are relative to> -DOUTPUT=<file>
#         -P embed.cmake
file(STRINGS "${LIST}" files)
set(arrays "")
set(entries "")
set(number 0)
foreach(file IN LISTS files)
    file(RELATIVE_PATH name "${ROOT}" "${file}")
    file(SHA256 "${file}" hash)
    string(SUBSTRING "${hash}" 0 32 tag)
    file(SIZE "${file}" bytes)
    file(READ "${file}" hex HEX)
    string(REGEX REPLACE "(..)" "0x\\1," hex "${hex}")
    string(APPEND arrays "const unsigned char file_${number}[] = {${hex}0};\n")
    string(APPEND entries
        "    {\"${name}\", {reinterpret_cast<const char*>(file_${number}), ${bytes}}, \"\\\"${tag}\\\"\"},\n")
    math(EXPR number "${number} + 1")
endforeach()
file(WRITE "${OUTPUT}"
    "// Made by embed.cmake.\n#include \"assets.h\"\n\nnamespace whisperer::gateway {\n\nnamespace {\n\n"
    "${arrays}\nconst Asset all[] = {\n${entries}};\n\n}  // namespace\n\n"
    "std::span<const Asset> assets() {\n    return all;\n}\n\n}  // namespace whisperer::gateway\n")
