require recipes-kernel/linux/cic-kiosk-linux.inc
