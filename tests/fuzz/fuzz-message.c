#include "config.h"

#include "fuzz.h"

#include "memory.h"

#include "../messages.h"

/*
 * Each line of the input, by the scanner and by jansson: on what the scanner
 * takes they agree, and the texts that jansson's members have been given are
 * the members'.  What is refused is refused with a reply that is JSON.
 */

static struct message scanned, loaded, parsed;

static void
check_refusal(const struct error *error)
{
	static const struct slice none;
	struct buffer b;
	json_t *reply;

	must(error->code == ERROR_PARSE, "code %d", error->code);
	buffer_init(&b, NULL);
	message_reply_error(&b, none, error, 1, none, none);
	reply = json_loadb(buffer_data(&b), buffer_len(&b), 0, NULL);
	must(reply != NULL, "the reply is not JSON: %.*s", (int)buffer_len(&b),
	    buffer_data(&b));
	json_decref(reply);
	buffer_fini(&b);
}

static void
check_line(const char *line, size_t len)
{
	bool scans = message_scan(&scanned, line, len);
	struct error error;
	bool loads = message_load(&loaded, line, len, &error) == 0;
	const char *what;

	if (loads) {
		what = message_check_raw(&loaded);
		must(what == NULL, "raw: %s: %.*s", what, (int)len, line);
	}
	if (scans) {
		must(loads, "for the scanner alone: %.*s", (int)len, line);
		what = messages_differ(&scanned, &loaded);
		must(what == NULL, "scanner: %s: %.*s", what, (int)len, line);
	}
	must((message_parse(&parsed, line, len, &error) == 0) == loads,
	    "parse: %.*s", (int)len, line);
	if (!loads)
		check_refusal(&error);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	memory_init();
	message_init(&scanned);
	message_init(&loaded);
	message_init(&parsed);
	return 0;
}

/* A line has a block of its own: a byte too far is seen. */
int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	const unsigned char *end = data + size;

	while (data < end) {
		const unsigned char *lf = memchr(data, '\n', end - data);
		size_t len;
		char *line;

		while (data < end && fuzz_is_action(*data))
			data++;
		if (lf == NULL)
			lf = end;
		len = lf - data;
		line = memory_alloc(len + (len == 0));
		memcpy(line, data, len);
		check_line(line, len);
		free(line);
		data = lf + 1;
	}
	return 0;
}
