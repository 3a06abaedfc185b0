require recipes-bsp/u-boot/cic-kiosk-u-boot.inc
