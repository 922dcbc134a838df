// Reading the key file; see key_file.h.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "src/secrets/key_file.h"
#include "src/settings.h"

namespace whisperer::pg {

namespace {

constexpr off_t key_file_bytes_max = 64 * 1024;

KeyFile current;
// What current was read from.
char read_path[MAXPGPATH];
struct stat read_as;

void refuse(const char* problem, const char* hint) {
    strlcpy(current.error.message, problem, sizeof current.error.message);
    strlcpy(current.error.hint, hint, sizeof current.error.hint);
}

void refuse_system(const char* what) {
    refuse(psprintf("whisperer.secret_key_file %s: %s", what, strerror(errno)),
           "The file must be readable by the server's user.");
}

// The change time moves with content, owner and permissions.
bool is_same(const struct stat& a, const struct stat& b) {
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
           a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec &&
           a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

void forget_keys() {
    if (current.keys.data) {
        explicit_bzero(const_cast<char*>(current.keys.data), current.keys.size);
        pfree(const_cast<char*>(current.keys.data));
    }
    current.keys = {};
    read_as = {};
}

bool is_private(const struct stat& file) {
    if (!S_ISREG(file.st_mode))
        refuse("whisperer.secret_key_file is not a regular file", "Name the file with the keys.");
    else if (file.st_uid != geteuid())
        refuse("whisperer.secret_key_file does not belong to the server's user",
               "Give it to the user that the server runs as (chown).");
    else if (file.st_mode & (S_IRWXG | S_IRWXO))
        refuse("whisperer.secret_key_file can be reached by other users",
               "Keep it for the server's user alone (chmod 600).");
    else if (file.st_size > key_file_bytes_max)
        refuse("whisperer.secret_key_file is longer than 64 kB", "Name the file with the keys.");
    else
        return true;
    return false;
}

void read_keys(int fd, off_t bytes) {
    char* text = (char*)MemoryContextAlloc(TopMemoryContext, (Size)bytes + 1);
    ssize_t got = read(fd, text, (size_t)bytes);
    current.keys = {text, (size_t)Max(got, 0)};
    if (got < 0)
        refuse_system("cannot be read");
    else
        (void)whisperer_check_keys(current.keys, &current.error);
}

// What was opened is looked at, not what the name stands for a moment later.
void read_file(const char* path) {
    int fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK | PG_BINARY);
    struct stat opened;
    if (fd < 0)
        refuse_system("cannot be opened");
    else if (fstat(fd, &opened) != 0)
        refuse_system("cannot be read");
    else if (is_private(opened)) {
        read_keys(fd, opened.st_size);
        read_as = opened;
    }
    if (fd >= 0)
        CloseTransientFile(fd);
}

}  // namespace

const KeyFile& key_file() {
    const char* path = settings.secret_key_file;
    struct stat now;
    bool is_known = current.is_named && strcmp(path, read_path) == 0 && stat(path, &now) == 0 &&
                    is_same(now, read_as);
    if (is_known)
        return current;
    forget_keys();
    current.error = {};
    current.is_named = *path != '\0';
    strlcpy(read_path, path, sizeof read_path);
    if (current.is_named)
        read_file(path);
    if (current.error.message[0] != '\0')
        forget_keys();
    return current;
}

}  // namespace whisperer::pg
