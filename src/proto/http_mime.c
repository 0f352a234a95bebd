/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Media types by file name extension.  Pure data and a search in it; workers.
 * Text is taken to be UTF-8, which is what files are written in today.
 */
#include "proto/http_file.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXT(subtype) "text/" subtype "; charset=utf-8"

/* Sorted by extension, lower case. */
static const struct mime {
	const char *extension, *type;
} types[] = {
	{ "7z", "application/x-7z-compressed" },
	{ "aac", "audio/aac" },
	{ "apk", "application/vnd.android.package-archive" },
	{ "appcache", TEXT("cache-manifest") },
	{ "asc", TEXT("plain") },
	{ "atom", "application/atom+xml" },
	{ "avi", "video/x-msvideo" },
	{ "avif", "image/avif" },
	{ "bmp", "image/bmp" },
	{ "bz2", "application/x-bzip2" },
	{ "c", TEXT("plain") },
	{ "cer", "application/pkix-cert" },
	{ "cfg", TEXT("plain") },
	{ "conf", TEXT("plain") },
	{ "crl", "application/pkix-crl" },
	{ "crt", "application/x-x509-ca-cert" },
	{ "css", TEXT("css") },
	{ "csv", TEXT("csv") },
	{ "deb", "application/vnd.debian.binary-package" },
	{ "diff", TEXT("plain") },
	{ "doc", "application/msword" },
	{ "docx",
	    "application/"
	    "vnd.openxmlformats-officedocument.wordprocessingml.document" },
	{ "eml", "message/rfc822" },
	{ "eot", "application/vnd.ms-fontobject" },
	{ "eps", "application/postscript" },
	{ "epub", "application/epub+zip" },
	{ "flac", "audio/flac" },
	{ "geojson", "application/geo+json" },
	{ "gif", "image/gif" },
	{ "gz", "application/gzip" },
	{ "h", TEXT("plain") },
	{ "heic", "image/heic" },
	{ "htm", TEXT("html") },
	{ "html", TEXT("html") },
	{ "ico", "image/vnd.microsoft.icon" },
	{ "ics", TEXT("calendar") },
	{ "ini", TEXT("plain") },
	{ "iso", "application/x-iso9660-image" },
	{ "jar", "application/java-archive" },
	{ "jpeg", "image/jpeg" },
	{ "jpg", "image/jpeg" },
	{ "js", TEXT("javascript") },
	{ "json", "application/json" },
	{ "jsonld", "application/ld+json" },
	{ "jxl", "image/jxl" },
	{ "log", TEXT("plain") },
	{ "m3u8", "application/vnd.apple.mpegurl" },
	{ "m4a", "audio/mp4" },
	{ "m4v", "video/mp4" },
	{ "map", "application/json" },
	{ "markdown", TEXT("markdown") },
	{ "md", TEXT("markdown") },
	{ "mid", "audio/midi" },
	{ "mjs", TEXT("javascript") },
	{ "mkv", "video/x-matroska" },
	{ "mov", "video/quicktime" },
	{ "mp3", "audio/mpeg" },
	{ "mp4", "video/mp4" },
	{ "mpeg", "video/mpeg" },
	{ "mpg", "video/mpeg" },
	{ "odp", "application/vnd.oasis.opendocument.presentation" },
	{ "ods", "application/vnd.oasis.opendocument.spreadsheet" },
	{ "odt", "application/vnd.oasis.opendocument.text" },
	{ "oga", "audio/ogg" },
	{ "ogg", "audio/ogg" },
	{ "ogv", "video/ogg" },
	{ "opus", "audio/ogg" },
	{ "otf", "font/otf" },
	{ "patch", TEXT("plain") },
	{ "pdf", "application/pdf" },
	{ "pem", "application/x-pem-file" },
	{ "png", "image/png" },
	{ "ppt", "application/vnd.ms-powerpoint" },
	{ "pptx",
	    "application/"
	    "vnd.openxmlformats-officedocument.presentationml.presentation" },
	{ "ps", "application/postscript" },
	{ "py", TEXT("x-python") },
	{ "rar", "application/vnd.rar" },
	{ "rpm", "application/x-rpm" },
	{ "rss", "application/rss+xml" },
	{ "rst", TEXT("plain") },
	{ "rtf", "application/rtf" },
	{ "sh", TEXT("x-shellscript") },
	{ "sql", "application/sql" },
	{ "svg", "image/svg+xml" },
	{ "tar", "application/x-tar" },
	{ "tgz", "application/gzip" },
	{ "tif", "image/tiff" },
	{ "tiff", "image/tiff" },
	{ "toml", "application/toml" },
	{ "ts", "video/mp2t" },
	{ "tsv", TEXT("tab-separated-values") },
	{ "ttf", "font/ttf" },
	{ "txt", TEXT("plain") },
	{ "vcf", TEXT("vcard") },
	{ "vtt", TEXT("vtt") },
	{ "wasm", "application/wasm" },
	{ "wav", "audio/wav" },
	{ "weba", "audio/webm" },
	{ "webm", "video/webm" },
	{ "webmanifest", "application/manifest+json" },
	{ "webp", "image/webp" },
	{ "woff", "font/woff" },
	{ "woff2", "font/woff2" },
	{ "xhtml", "application/xhtml+xml" },
	{ "xls", "application/vnd.ms-excel" },
	{ "xlsx",
	    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" },
	{ "xml", TEXT("xml") },
	{ "xpi", "application/x-xpinstall" },
	{ "xsl", TEXT("xml") },
	{ "xz", "application/x-xz" },
	{ "yaml", "application/yaml" },
	{ "yml", "application/yaml" },
	{ "zip", "application/zip" },
	{ "zst", "application/zstd" },
};

static int
mime_compare(const void *extension, const void *row)
{
	return strcasecmp(extension, ((const struct mime *)row)->extension);
}

const char *
http_mime_type(const char *name)
{
	const char *dot = strrchr(name, '.');
	const struct mime *found;

	if (!dot || strchr(dot, '/'))
		return "application/octet-stream";
	found = bsearch(
	    dot + 1, types, CAB_N(types), sizeof(types[0]), mime_compare);
	return found ? found->type : "application/octet-stream";
}
