#include "codec.h"
int codec_add_to(PyObject *module){(void)module;return 0;}
void codec_buffer_init(struct codec_buffer *b){b->data=b->small;b->len=0;b->capacity=512;}
void codec_buffer_free(struct codec_buffer *b){(void)b;}
int codec_encode(PyObject *v, struct codec_buffer *o){(void)v;(void)o;return 0;}
int codec_is_scalar(unsigned char t){(void)t;return 0;}
int codec_is_plain(unsigned char t){(void)t;return 0;}
PyObject *codec_decode(const unsigned char *d, size_t l){(void)d;(void)l;return NULL;}
