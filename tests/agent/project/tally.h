/* Counts the words of a text. */
int words(const char *text);
