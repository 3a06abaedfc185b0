# For this distribution alone: a browser of pages, forms and server-sent events. No code is made on the way (jit), and
# what plays, records, speaks or debugs is left out.
PACKAGECONFIG:cic-kiosk-os = "gbm gpu-process journald reduce-size unified-builds wpe-legacy-api"
