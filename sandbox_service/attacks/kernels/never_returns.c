/* Never comes back, and holds on to its worker for good.
 * exploit: F30
 * layer: the parent's deadline
 */
KERNEL { for (volatile int i = 0;; i++) {} }
