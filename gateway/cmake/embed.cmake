# Writes assets.cpp: each file of a list as bytes, as it is and in gzip, with the tag that a browser remembers
# it by.
#
#   cmake -DLIST=<file of file names> -DROOT=<folder that names are relative to> -DOUTPUT=<file>
#         -P embed.cmake
file(STRINGS "${LIST}" files)
set(arrays "")
set(entries "")
set(number 0)

# Appends the bytes of a file as an array; sets ${view} to what stands for them.
function(embed file name view)
    file(SIZE "${file}" bytes)
    file(READ "${file}" hex HEX)
    string(REGEX REPLACE "(..)" "0x\\1," hex "${hex}")
    set(arrays "${arrays}const unsigned char ${name}[] = {${hex}0};\n" PARENT_SCOPE)
    set(${view} "{reinterpret_cast<const char*>(${name}), ${bytes}}" PARENT_SCOPE)
endfunction()

foreach(file IN LISTS files)
    file(RELATIVE_PATH name "${ROOT}" "${file}")
    file(SHA256 "${file}" hash)
    string(SUBSTRING "${hash}" 0 32 tag)
    embed("${file}" file_${number} whole)
    # Once, and as short as it gets.
    execute_process(COMMAND gzip -9 -n -c "${file}" OUTPUT_FILE "${OUTPUT}.gz" COMMAND_ERROR_IS_FATAL ANY)
    file(SIZE "${file}" bytes)
    file(SIZE "${OUTPUT}.gz" gzipped_bytes)
    set(gzipped "{}")
    if(gzipped_bytes LESS bytes)
        embed("${OUTPUT}.gz" gzipped_${number} gzipped)
    endif()
    string(APPEND entries "    {\"${name}\", ${whole}, ${gzipped}, \"\\\"${tag}\\\"\"},\n")
    math(EXPR number "${number} + 1")
endforeach()
file(REMOVE "${OUTPUT}.gz")
file(WRITE "${OUTPUT}"
    "// Made by embed.cmake.\n#include \"assets.h\"\n\nnamespace whisperer::gateway {\n\nnamespace {\n\n"
    "${arrays}\nconst Asset all[] = {\n${entries}};\n\n}  // namespace\n\n"
    "std::span<const Asset> assets() {\n    return all;\n}\n\n}  // namespace whisperer::gateway\n")
