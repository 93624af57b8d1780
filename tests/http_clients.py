"""What clients of servers on loopback share."""

import ssl

#: For ``verify`` of httpx: a client of its own for each call would otherwise read all certificates
#: of the machine, for 40 ms of CPU.
WITHOUT_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
