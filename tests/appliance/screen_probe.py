"""In the place of the kiosk's service: pages that try to get out of the screen. Prints who asked for what.

It is asked at the kiosk's address (8081), at another port of the machine, and at an address of the internet.
"""

import http.server
import threading

PLACES = {"kiosk": ("127.0.0.1", 8081), "machine": ("127.0.0.1", 8082), "internet": ("192.0.2.7", 8083)}

# As the kiosk's own pages, without the policy that would forbid such a script.
PAGE = b"""<!DOCTYPE html><html lang="vi"><title>Kiosk</title><script>
const tell = what => fetch("/told/" + encodeURIComponent(what));
const attempt = async (name, how) => { try { await how(); } catch (error) { return tell(name + " " + error.name); } };
const later = ms => new Promise(done => setTimeout(done, ms));
(async () => {
    await later(2000);
    await tell(`size ${innerWidth}x${innerHeight}`);
    await attempt("fetch", () => fetch("http://192.0.2.7:8083/fetched", {mode: "no-cors", signal: AbortSignal.timeout(2000)}));
    await tell("wasm " + typeof WebAssembly);
    open("http://127.0.0.1:8082/opened");
    open("file:///etc/passwd");
    const frame = document.createElement("iframe");
    frame.src = "http://127.0.0.1:8082/framed"; document.body.append(frame);
    await later(1000);
    const link = document.createElement("a");
    link.href = "http://127.0.0.1:8082/followed"; document.body.append(link);
    await tell("end");
    link.click();
})();
</script>"""


class Place(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(f"{self.server.name} {self.path}", flush=True)
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


for name, address in PLACES.items():
    server = http.server.ThreadingHTTPServer(address, Place)
    server.name = name
    threading.Thread(target=server.serve_forever).start()
