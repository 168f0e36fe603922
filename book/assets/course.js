"use strict";
/* Classic script: modules and fetch() do not work on file://. */

// Search summaries are fetched from the pages found, which a browser refuses on file://.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}
