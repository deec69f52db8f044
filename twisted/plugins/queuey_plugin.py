"""Tells twistd that there is a command ``queuey``; what it does is imported only once it is asked for."""

from twisted.application.service import ServiceMaker

queuey = ServiceMaker("Queuey", "queuey.service", "A RESTful message queue.", "queuey")
