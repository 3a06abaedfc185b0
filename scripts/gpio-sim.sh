# shellcheck shell=bash
# Sourced by vm.sh and kiosk.sh: the kernel module gpio-sim for one of Debian's kernels, out of the kernel's own source.

# unpack PACKAGE...: downloads Debian's packages, and unpacks them into root/.
unpack() {
    apt-get download -qq -o APT::Sandbox::User=root "$@" || die "apt-get could not download $*: try apt-get update first"
    local package
    for package in "$@"; do
        dpkg-deb --extract "${package%%[:=]*}"_*.deb root
    done
}

# build_gpio_sim KERNEL VERSION [MAKE'S WORDS...]: as root/lib/modules/KERNEL/gpio-sim.ko.
#
# Debian's kernel comes without gpio-sim and without what that builds on, irq_sim. Both are built as one module;
# irq_to_desc is not exported to modules, but generic_handle_irq does the same.
build_gpio_sim() {
    local kernel=$1 version=$2 headers=root/usr/src/linux-headers-$1
    shift 2
    # What headers are compiled with is this machine's, whatever the kernel is for.
    unpack "linux-headers-$kernel=$version" "linux-headers-${kernel%-*}-common=$version" \
        "linux-kbuild-6.1:$(dpkg --print-architecture)=$version"
    sed -i "s| /usr/src| $PWD/root/usr/src|" "$headers/Makefile"
    apt-get download -qq -o APT::Sandbox::User=root "linux-source-6.1=$version"
    mkdir gpio-sim
    dpkg-deb --fsys-tarfile linux-source-6.1_*.deb | tar -xO ./usr/src/linux-source-6.1.tar.xz |
        tar -xJ -C gpio-sim --strip-components=3 linux-source-6.1/drivers/gpio/{gpio-sim.c,gpiolib.h} \
            linux-source-6.1/kernel/irq/irq_sim.c
    mv gpio-sim/gpio-sim.c gpio-sim/chip.c
    sed -i 's/handle_simple_irq(irq_to_desc(irqnum))/generic_handle_irq(irqnum)/' gpio-sim/irq_sim.c
    printf '%s\n' 'obj-m := gpio-sim.o' 'gpio-sim-y := chip.o irq_sim.o' >gpio-sim/Makefile
    make -s -C "$headers" M="$PWD/gpio-sim" "$@" modules >make.log 2>&1 ||
        { cat make.log >&2; die "gpio-sim does not build"; }
    mv gpio-sim/gpio-sim.ko "root/lib/modules/$kernel/"
}
