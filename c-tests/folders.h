/* Temporary folders for tests, removed with all that is in them. */
#ifndef CATZILLA_TESTS_FOLDERS_H
#define CATZILLA_TESTS_FOLDERS_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_MAX 512

/* Makes an empty folder and writes its path into `path`. */
static inline bool make_folder(char path[FOLDER_MAX])
{
    const char *where = getenv("TMPDIR");
    snprintf(path, FOLDER_MAX, "%s/catzilla-test-XXXXXX", where != NULL && where[0] != '\0' ? where : "/tmp");
    return mkdtemp(path) != NULL;
}

static inline void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    if (folder != NULL) {
        struct dirent *entry;
        while ((entry = readdir(folder)) != NULL) {
            char inside[PATH_MAX];
            struct stat about;
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                continue;
            if (snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name) >= (int)sizeof inside)
                continue;
            if (lstat(inside, &about) == 0 && S_ISDIR(about.st_mode))
                remove_folder(inside);
            else
                unlink(inside);
        }
        closedir(folder);
    }
    rmdir(path);
}

/* `folder`/`name`, in `path`. */
static inline const char *inside(char path[PATH_MAX], const char *folder, const char *name)
{
    snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return path;
}

#endif
