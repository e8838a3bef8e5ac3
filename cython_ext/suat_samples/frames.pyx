"""A data frame's MIC and payload (TS001 4.3.3, 4.4) by OpenSSL, one context a key kept.

The same as `suat_wire.lorawan` with `suat_wire.aes`, which serve where this could not be built (no OpenSSL headers) and
are its oracle in the tests. Setting up a context costs more than a frame; a call through a Python binding costs three.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t
from libc.string cimport memcmp, memcpy, memset


cdef extern from "openssl/evp.h" nogil:
    ctypedef struct EVP_CIPHER
    ctypedef struct EVP_CIPHER_CTX
    ctypedef struct ENGINE
    const EVP_CIPHER* EVP_aes_128_ecb()
    EVP_CIPHER_CTX* EVP_CIPHER_CTX_new()
    void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX* context)
    int EVP_CIPHER_CTX_set_padding(EVP_CIPHER_CTX* context, int padding)
    int EVP_CipherInit_ex(
        EVP_CIPHER_CTX* context, const EVP_CIPHER* kind, ENGINE* engine, const unsigned char* key,
        const unsigned char* iv, int encrypt)
    int EVP_CipherUpdate(EVP_CIPHER_CTX* context, unsigned char* out, int* written, const unsigned char* of, int size)


cdef enum:
    BLOCK = 16
    LARGEST = 255  # of a frame

cdef void _double(unsigned char* block) noexcept:
    """Multiply by x in GF(2^128) (RFC 4493 section 2.3)."""
    cdef int i, carry = block[0] >> 7
    for i in range(BLOCK - 1):
        block[i] = <unsigned char>((block[i] << 1) | (block[i + 1] >> 7))
    block[BLOCK - 1] = <unsigned char>(block[BLOCK - 1] << 1) ^ (0x87 if carry else 0)


cdef class Aes:
    """One AES-128 key: `encrypt(blocks)` (ECB), `decrypt(blocks)`, `cmac(message)`. One thread at a time."""

    cdef EVP_CIPHER_CTX* sealing
    cdef EVP_CIPHER_CTX* opening
    cdef unsigned char whole[BLOCK]  # K1 and K2 of RFC 4493: for a last block that is full, or padded
    cdef unsigned char padded[BLOCK]

    def __cinit__(self, bytes key not None):
        if len(key) != BLOCK:
            raise ValueError(f"an AES-128 key has 16 bytes, not {len(key)}")
        self.sealing, self.opening = EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_new()
        if self.sealing == NULL or self.opening == NULL:
            raise MemoryError("no context for a key")
        if (EVP_CipherInit_ex(self.sealing, EVP_aes_128_ecb(), NULL, key, NULL, 1) != 1
                or EVP_CipherInit_ex(self.opening, EVP_aes_128_ecb(), NULL, key, NULL, 0) != 1):
            raise RuntimeError("OpenSSL refuses AES-128")
        EVP_CIPHER_CTX_set_padding(self.sealing, 0)
        EVP_CIPHER_CTX_set_padding(self.opening, 0)
        memset(self.whole, 0, BLOCK)
        self.run(self.sealing, self.whole, self.whole, BLOCK)
        _double(self.whole)
        memcpy(self.padded, self.whole, BLOCK)
        _double(self.padded)

    def __dealloc__(self):
        EVP_CIPHER_CTX_free(self.sealing)
        EVP_CIPHER_CTX_free(self.opening)

    cdef int run(self, EVP_CIPHER_CTX* context, const unsigned char* of, unsigned char* to, int size) except -1:
        cdef int written = 0
        if EVP_CipherUpdate(context, to, &written, of, size) != 1 or written != size:
            raise RuntimeError("OpenSSL could not encrypt")
        return 0

    cdef bytes blocks(self, EVP_CIPHER_CTX* context, bytes of):
        if len(of) % BLOCK:
            raise ValueError(f"whole blocks of 16 bytes are needed, not {len(of)} bytes")
        out = PyBytes_FromStringAndSize(NULL, len(of))
        if len(of):
            self.run(context, of, <unsigned char*>PyBytes_AS_STRING(out), <int>len(of))
        return out

    def encrypt(self, bytes blocks not None):
        """Whole blocks of 16 bytes, each by itself."""
        return self.blocks(self.sealing, blocks)

    def decrypt(self, bytes blocks not None):
        """Whole blocks of 16 bytes; the join accept is "encrypted" with this."""
        return self.blocks(self.opening, blocks)

    def cmac(self, bytes message not None):
        """AES-CMAC, all 16 bytes of it."""
        cdef unsigned char state[BLOCK]
        memset(state, 0, BLOCK)
        self.mac(state, message, len(message))
        return state[:BLOCK]

    cdef int mac(self, unsigned char* state, const unsigned char* message, Py_ssize_t size) except -1:
        """Go on with a CMAC in `state` up to its end."""
        cdef int i
        cdef const unsigned char* key = &self.whole[0] if size and size % BLOCK == 0 else &self.padded[0]
        while size > BLOCK:
            for i in range(BLOCK):
                state[i] ^= message[i]
            self.run(self.sealing, state, state, BLOCK)
            message += BLOCK
            size -= BLOCK
        for i in range(<int>size):
            state[i] ^= message[i]
        if size < BLOCK:
            state[size] ^= 0x80
        for i in range(BLOCK):
            state[i] ^= key[i]
        self.run(self.sealing, state, state, BLOCK)
        return 0


cdef void _block(unsigned char* to, int first, int direction, uint32_t dev_addr, uint32_t fcnt, int last) noexcept:
    """B0 (TS001 4.4) or an A_i (4.3.3)."""
    cdef int i
    memset(to, 0, BLOCK)
    to[0], to[5], to[15] = first, direction, last
    for i in range(4):
        to[6 + i] = (dev_addr >> (8 * i)) & 255
        to[10 + i] = (fcnt >> (8 * i)) & 255


def mic_ok(Aes nwk not None, frame, fcnt):
    """Whether the frame was signed with this key and this 32-bit counter."""
    if fcnt > 0xFFFFFFFF:
        return False
    cdef bytes phy = frame.phy
    cdef Py_ssize_t size = len(phy) - 4
    cdef const unsigned char* message = phy
    if not 0 < size <= LARGEST:
        raise ValueError(f"a frame of {len(phy)} bytes")
    cdef unsigned char state[BLOCK]
    _block(state, 0x49, frame.mtype & 1, frame.dev_addr, fcnt, <int>size)
    nwk.run(nwk.sealing, state, state, BLOCK)
    nwk.mac(state, message, size)
    return memcmp(state, message + size, 4) == 0


def open_payload(Aes nwk not None, Aes app not None, frame, fcnt):
    """Decrypt the payload of a frame whose MIC was found good."""
    cdef bytes data = frame.payload
    cdef Py_ssize_t size = len(data), i
    if not size:
        return b""
    if size > LARGEST:
        raise ValueError(f"a payload of {size} bytes")
    cdef Aes key = app if frame.fport else nwk
    cdef unsigned char stream[LARGEST + 1]
    cdef const unsigned char* at = data
    cdef int count = <int>(size + BLOCK - 1) // BLOCK
    for i in range(count):
        _block(stream + i * BLOCK, 1, frame.mtype & 1, frame.dev_addr, fcnt, <int>i + 1)
    key.run(key.sealing, stream, stream, count * BLOCK)
    for i in range(size):
        stream[i] ^= at[i]
    return stream[:size]
